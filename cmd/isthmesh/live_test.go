// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/isthmesh/isthmesh/test/apiserver"
)

const liveObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: east.example"}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-1, namespace: shop, labels: {app: reviews}}
spec: {serviceAccountName: reviews, containers: [{name: app, image: app}, {name: istio-proxy, image: proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-1, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.0.20], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1, namespace: shop}}]
`

// lists are the rights of groups: to list resources of API groups, as both are written in YAML.
var lists = map[string][]struct{ groups, resources string }{
	"lookers": {{`"", discovery.k8s.io, apiextensions.k8s.io`, `"*"`}},
	"readers": {{"security.istio.io", `"*"`}},
	// Certificates are in Secrets.
	"secretless": {
		{`""`, "namespaces, nodes, pods, services, configmaps"},
		{"networking.istio.io, networking.k8s.io, gateway.networking.k8s.io, extensions.istio.io, policy.isthmesh.dev, telemetry.istio.io, multicluster.x-k8s.io", `"*"`},
		{"discovery.k8s.io, apiextensions.k8s.io, security.istio.io", `"*"`},
	},
}

// rights are the roles and bindings that give a group what it may list.
func rights(group string) string {
	rules := ""
	for _, r := range lists[group] {
		rules += fmt.Sprintf("- {apiGroups: [%s], resources: [%s], verbs: [list]}\n", r.groups, r.resources)
	}
	return fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules:
%[2]s---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: %[1]s}]
`, group, rules)
}

// liveGateways have certificates.
const liveGateways = `
apiVersion: v1
kind: Secret
metadata: {name: there, namespace: shop}
type: kubernetes.io/tls
data: {tls.crt: CERTIFICATE, tls.key: KEY}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio}
spec: {controllerName: istio.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: istio
  listeners:
  - {name: there, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: there}]}}
  - {name: not-there, port: 444, protocol: HTTPS, tls: {certificateRefs: [{name: not-there}]}}
`

const livePolicies = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec: {rules: [{from: [{source: {namespaces: [web]}}], to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {selector: {matchLabels: {app: revews}}, action: DENY, rules: [{}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec: {hosts: [reviews], http: [{route: [{destination: {host: revews}}]}]}
`

// patiently is for a busy machine.
const patiently = "--wait=3m"

// TestLiveCluster asks a real API server, with the rights of several users.
func TestLiveCluster(t *testing.T) {
	server, err := apiserver.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	as := func(name string, groups ...string) *genericclioptions.ConfigFlags {
		t.Helper()
		text, err := server.Kubeconfig(name, groups...)
		file := filepath.Join(t.TempDir(), "kubeconfig")
		if err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		access := genericclioptions.NewConfigFlags(true)
		access.KubeConfig = &file
		return access
	}
	admin := as("admin", "system:masters")
	create := func(objects string) {
		t.Helper()
		c, err := client.New(server.Config, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = eachObject([]byte(objects), func(u *unstructured.Unstructured) error { return c.Create(t.Context(), u) },
			func(_ int, err error) { t.Fatal(err) })
		if err != nil {
			t.Fatal(err)
		}
	}
	create(liveObjects)
	for group := range lists {
		create(rights(group))
	}
	running(t, server, "shop", "reviews-1", "10.244.0.20")
	check := func(access *genericclioptions.ConfigFlags, args ...string) (string, error) {
		return run(newAuthzCheckCommand, access, append(args, patiently)...)
	}
	contains := func(what, text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %q in\n%s", what, part, text)
			}
		}
	}
	fails := func(what string, err error, parts ...string) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		contains(what, err.Error(), parts...)
	}

	text, err := check(admin, "shop/reviews-1")
	if err != nil {
		t.Fatal(err)
	}
	contains("without definitions", text, "No policy applies: every call is allowed.", "Note: the cluster has no authorizationpolicies.security.istio.io; chart base installs the definition.")

	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "charts", "base", "crds")}, MaxTime: 3 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	create(livePolicies)
	text, err = check(admin, "reviews-1", "--namespace", "shop", "--port", "8080", "--from", "east.example/ns/web/sa/page", "--method", "POST")
	if err != nil {
		t.Fatal(err)
	}
	contains("administrator", text, "spiffe://east.example/ns/shop/sa/reviews", "ALLOW   shop/readers  1", "(reviews.shop.svc.cluster.local)", "DENIED with 403: no ALLOW policy matches")
	text, err = check(as("reader", "lookers", "readers"), "shop/reviews-1", "--port", "8080", "--from", "east.example/ns/web/sa/page")
	if err != nil {
		t.Fatal(err)
	}
	contains("who may list and not watch", text, "ALLOWED: allowed by shop/readers rule 0", "Note: not read, since you may not list them: ", "virtualservices.networking.istio.io")
	_, err = check(as("looker", "lookers"), "shop/reviews-1")
	fails("without policies", err, "no right to list authorizationpolicies.security.istio.io, peerauthentications.security.istio.io, requestauthentications.security.istio.io; have it granted")
	_, err = check(as("nobody"), "shop/reviews-1")
	fails("without rights", err, "no right to list configmaps of namespace istio-system, customresourcedefinitions, endpointslices, namespaces, pods, services;")
	_, err = check(admin, "shop/reviews-2")
	fails("no pod", err, "there is no pod shop/reviews-2 that runs; there are reviews-1")
	_, err = check(as("admin2", "system:masters"), "reviews-1")
	fails("other namespace", err, "there is no pod default/reviews-1 that runs; a pod of that name is in namespace shop")

	text, err = run(analyzeCommand, admin, patiently)
	if err != nil {
		t.Errorf("warnings are no errors: %v", err)
	}
	contains("analyze", text, `warning [HostNotFound] VirtualService shop/reviews spec.http[0].route[0].destination.host: no service is called "revews.shop.svc.cluster.local"`,
		`warning [SelectsNothing] AuthorizationPolicy shop/nobody spec.selector: `)
	if strings.Contains(text, "[Conflict]") {
		t.Errorf("analyze doesn't take the mesh's own trust domain:\n%s", text)
	}
	_, err = run(analyzeCommand, admin, "--strict", patiently)
	if !errors.Is(err, errFound) {
		t.Errorf("strict: %v", err)
	}
	_, err = run(analyzeCommand, as("reader2", "lookers", "readers"), patiently)
	fails("analyze without rights", err, "no right to list ", "virtualservices.networking.istio.io")
	analyzesCertificates(t, create, func(groups ...string) string {
		t.Helper()
		text, err := run(analyzeCommand, as("of "+groups[0], groups...), patiently)
		if err != nil {
			t.Errorf("warnings are no errors: %v", err)
		}
		return text
	})

	away := "http://127.0.0.1:1" // a port that is given to nobody
	gone := genericclioptions.NewConfigFlags(true)
	gone.APIServer, gone.KubeConfig = &away, admin.KubeConfig
	_, err = check(gone, "shop/reviews-1")
	fails("nobody answers", err, "reach the API server "+away, "connection refused", "is it the right --context?")
	missing := filepath.Join(t.TempDir(), "none")
	lost := genericclioptions.NewConfigFlags(true)
	lost.KubeConfig = &missing
	_, err = check(lost, "shop/reviews-1")
	fails("no kubeconfig", err, "kubeconfig", "--kubeconfig")
	bad, stranger := "wrong", genericclioptions.NewConfigFlags(true)
	insecure, host := true, server.Config.Host
	stranger.BearerToken, stranger.APIServer, stranger.Insecure = &bad, &host, &insecure
	_, err = check(stranger, "shop/reviews-1")
	fails("wrong credentials", err, "doesn't take the kubeconfig's credentials")
}

// analyzesCertificates: a Secret that is there is no finding, and one that the user may not read is told as that.
func analyzesCertificates(t *testing.T, create func(string), analyze func(groups ...string) string) {
	t.Helper()
	certificate, key := keyPair(t)
	create(strings.NewReplacer("CERTIFICATE", certificate, "KEY", key).Replace(liveGateways))
	const there, notThere, hidden = "spec.listeners[name=there]", "There is no Secret shop/not-there", "Secret shop/there can't be used: you have no right to read it"
	if text := analyze("system:masters"); strings.Contains(text, there) || !strings.Contains(text, notThere) {
		t.Errorf("who may read Secrets: %q or no %q in\n%s", there, notThere, text)
	}
	if text := analyze("secretless"); strings.Contains(text, "There is no Secret") || !strings.Contains(text, hidden) {
		t.Errorf("who may not read Secrets: no %q in\n%s", hidden, text)
	}
}

// keyPair is a certificate and its key as the data of a Secret.
func keyPair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	data := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return data("CERTIFICATE", der), data("PRIVATE KEY", encoded)
}

// running is what a kubelet would say of a pod.
func running(t *testing.T, server *apiserver.Server, namespace, name, address string) {
	t.Helper()
	pods, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	status := fmt.Sprintf(`{"status": {"phase": "Running", "podIP": %[1]q, "podIPs": [{"ip": %[1]q}]}}`, address)
	if _, err := pods.CoreV1().Pods(namespace).Patch(t.Context(), name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

func analyzeCommand(_ genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	return newAnalyzeCommand(access)
}

// run a command with the flags of all commands.
func run(make func(genericiooptions.IOStreams, *genericclioptions.ConfigFlags) *cobra.Command, access *genericclioptions.ConfigFlags, args ...string) (string, error) {
	var out bytes.Buffer
	c := make(genericiooptions.IOStreams{Out: &out, ErrOut: &out}, access)
	access.AddFlags(c.Flags())
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetOut(&out)
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), err
}
