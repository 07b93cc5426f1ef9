// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/isthmesh/isthmesh/controlplane/agent/machine"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

const machineObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: vm}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "{trustDomain: west.shop.example}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data: {values: '{"global": {"multiCluster": {"clusterName": "west"}, "meshID": "shops", "proxy": {"clusterDomain": "corp.example"}}}'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-green, namespace: istio-system}
data: {mesh: "trustDomain: green.example"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector-green, namespace: istio-system}
data: {values: "{}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-half, namespace: istio-system}
data: {mesh: "{}"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ratings, namespace: vm}
---
apiVersion: v1
kind: Service
metadata: {name: istio-eastwestgateway, namespace: istio-system}
spec: {externalIPs: [203.0.113.20], ports: [{port: 15443}]}
---
apiVersion: v1
kind: Service
metadata: {name: inside, namespace: vm}
spec: {ports: [{port: 15012}]}
`

const machineRoot = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-ca-root-cert, namespace: vm}
data: {root-cert.pem: "the root\n"}
`

const machineGroup = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: ratings, namespace: vm}
spec:
  metadata: {labels: {app: ratings}}
  template: {ports: {mysql: 3306}, serviceAccount: ratings}
  probe: {tcpSocket: {port: 3306}}
`

// TestWorkloadConfigure makes a machine's files, of a group in a file and of one
// in a real cluster.
func TestWorkloadConfigure(t *testing.T) {
	server, err := apiserver.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	text, err := server.Kubeconfig("admin", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, file := filepath.Join(t.TempDir(), "kubeconfig"), filepath.Join(t.TempDir(), "group.yaml")
	for path, body := range map[string][]byte{kubeconfig: text, file: []byte(machineGroup)} {
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	create := func(objects string) {
		t.Helper()
		c, err := client.New(server.Config, client.Options{})
		if err == nil {
			err = eachObject([]byte(objects), func(u *unstructured.Unstructured) error { return c.Create(t.Context(), u) }, func(_ int, err error) { t.Fatal(err) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	configure := func(dir string, args ...string) (string, error) {
		access := genericclioptions.NewConfigFlags(true)
		access.KubeConfig = &kubeconfig
		return run(newWorkloadConfigureCommand, access, append(args, "-o", dir)...)
	}
	fails := func(what, part string, args ...string) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "none")
		if _, err := configure(dir, args...); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v, want %q", what, err, part)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: something is written", what)
		}
	}

	create(machineObjects)
	fails("no root yet", "ConfigMap vm/istio-ca-root-cert", "-f", file)
	create(machineRoot)
	fails("nothing to make it of", "give the WorkloadGroup: --file FILE")
	fails("both", "give the WorkloadGroup: --file FILE", "-f", file, "--name", "ratings")
	fails("two addresses", "exclude each other", "-f", file, "--internalIP", "10.0.0.7", "--externalIP", "203.0.113.7")
	fails("no address", `--ingressIP: "istiod" is no address`, "-f", file, "--ingressIP", "istiod")
	fails("a short token", "--tokenDuration is 60", "-f", file, "--tokenDuration", "60")
	fails("no definition", "read WorkloadGroup vm/ratings", "--name", "ratings", "-n", "vm")
	fails("no such revision", "ConfigMap istio-system/istio-blue", "-f", file, "--revision", "blue")
	fails("no values", "ConfigMap istio-system/istio-sidecar-injector-half", "-f", file, "--revision", "half")
	other := filepath.Join(t.TempDir(), "other.yaml")
	for text, part := range map[string]string{
		strings.Replace(machineGroup, "WorkloadGroup", "WorkloadEntry", 1):      `the first object is a "WorkloadEntry"`,
		strings.Replace(machineGroup, "name: ratings, ", "", 1):                 "has no metadata.name",
		strings.Replace(machineGroup, "port: 3306", "port: 0", 1):               "WorkloadGroup vm/ratings: spec.probe: tcpSocket.port is 0",
		strings.Replace(machineGroup, "Account: ratings", "Account: nobody", 1): "make a token of service account vm/nobody",
		strings.Replace(machineGroup, "tcpSocket", "tcpSoket", 1):               "has no field spec.probe.tcpSoket",
		strings.Replace(machineGroup, "namespace: vm", "namespace: nowhere", 1): "ConfigMap nowhere/istio-ca-root-cert",
	} {
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		fails("another group", part, "-f", other)
	}

	dir := filepath.Join(t.TempDir(), "machine")
	told, err := configure(dir, "-f", file, "--autoregister", "--internalIP", "10.0.0.7")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"is a secret", "vm/ratings for 3600 seconds", "The files of a machine of WorkloadGroup vm/ratings are in " + dir} {
		if !strings.Contains(told, part) {
			t.Errorf("no %q in\n%s", part, told)
		}
	}
	got := readAll(t, dir)
	if diff := cmp.Diff(map[string]string{"root-cert.pem": "the root\n", "hosts": "203.0.113.20 istiod.istio-system.svc\n"}, map[string]string{"root-cert.pem": got["root-cert.pem"], "hosts": got["hosts"]}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	variables, err := machine.Variables([]byte(got["cluster.env"]), []byte(got["mesh.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ISTIO_META_CLUSTER_ID": "west", "ISTIO_META_MESH_ID": "shops", "ISTIO_META_DNS_DOMAIN": "vm.svc.corp.example", "ISTIO_META_AUTO_REGISTER_GROUP": "ratings", "ISTIO_META_DNS_CAPTURE": "true",
		"TRUST_DOMAIN": "west.shop.example", "ISTIO_SVC_IP": "10.0.0.7", "ISTIO_INBOUND_PORTS": "3306", "SERVICE_ACCOUNT": "ratings",
	} {
		if variables[name] != want {
			t.Errorf("%s is %q, want %q", name, variables[name], want)
		}
	}
	claims(t, got["istio-token"], "system:serviceaccount:vm:ratings")
	info, err := os.Stat(filepath.Join(dir, "istio-token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token has mode %v, %v", info.Mode(), err)
	}

	told, err = configure(dir, "-f", file, "--clusterID", "own", "--capture-dns=false", "--ingressService", "inside.vm", "--revision", "green")
	if err != nil {
		t.Fatal(err)
	}
	got = readAll(t, dir)
	variables, err = machine.Variables([]byte(got["cluster.env"]), []byte(got["mesh.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"ISTIO_META_CLUSTER_ID": "own", "ISTIO_META_AUTO_REGISTER_GROUP": "", "ISTIO_META_DNS_CAPTURE": "", "CA_ADDR": "istiod-green.istio-system.svc:15012", "TRUST_DOMAIN": "green.example"} {
		if variables[name] != want {
			t.Errorf("%s is %q, want %q", name, variables[name], want)
		}
	}
	if got["hosts"] != "" || !strings.Contains(told, "hosts is empty: Service vm/inside has no address outside the cluster; say with --ingressIP where the machine reaches istiod-green.istio-system.svc:15012") {
		t.Errorf("hosts %q; told:\n%s", got["hosts"], told)
	}

	if told, err := configure(dir, "-f", file, "--ingressService", "none"); err != nil || !strings.Contains(told, "hosts is empty: Service istio-system/none") {
		t.Errorf("without the Service: %v, told:\n%s", err, told)
	}

	definition := filepath.Join("..", "..", "charts", "base", "crds", "istio_workloadgroups.networking.istio.io.yaml")
	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{Paths: []string{definition}, MaxTime: 3 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	create(machineGroup)
	if _, err := configure(dir, "--name", "ratings", "-n", "vm", "--ingressIP", "203.0.113.21"); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, dir)["hosts"]; got != "203.0.113.21 istiod.istio-system.svc\n" {
		t.Errorf("hosts %q", got)
	}
}

func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"cluster.env", "mesh.yaml", "root-cert.pem", "istio-token", "hosts"} {
		body, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(body)
	}
	return out
}

// claims of a token: whose it is, and for the control plane alone.
func claims(t *testing.T, token, subject string) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Subject  string   `json:"sub"`
		Audience []string `json:"aud"`
		From     int64    `json:"iat"`
		Until    int64    `json:"exp"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Subject != subject || !slices.Equal(got.Audience, []string{"istio-ca"}) || got.Until-got.From != 3600 {
		t.Errorf("claims %+v", got)
	}
}

func TestWorkloadGroup(t *testing.T) {
	namespace := "vm"
	access := genericclioptions.NewConfigFlags(true)
	access.Namespace = &namespace
	text, err := run(newWorkloadGroupCommand, access, "--name", "ratings", "--labels", "app=ratings,version=v2", "--ports", "http=8080", "--serviceAccount", "ratings", "--weight", "3")
	if err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata:
  name: ratings
  namespace: vm
spec:
  metadata:
    labels:
      app: ratings
      version: v2
  template:
    ports:
      http: 8080
    serviceAccount: ratings
    weight: 3
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for part, args := range map[string][]string{
		"give the group a name": {},
		"--ports: http=x":       {"--name", "a", "--ports", "http=x"},
		"--ports: http=0":       {"--name", "a", "--ports", "http=0"},
	} {
		if _, err := run(newWorkloadGroupCommand, access, args...); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want %q", err, part)
		}
	}
}
