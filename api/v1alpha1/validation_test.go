// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controllers/definition"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

const (
	federation = "apiVersion: federation.isthmesh.dev/v1alpha1\nkind: MeshFederation\nmetadata: {name: shop, namespace: default}\nspec: "
	member     = "apiVersion: federation.isthmesh.dev/v1alpha1\nkind: MeshMember\nmetadata: {name: west, namespace: default}\nspec: "
)

func strict(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(server.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(c, metav1.FieldValidationStrict)
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func remove(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Delete(t.Context(), o); err != nil {
		t.Error(err)
	}
}

// TestCreate: what the API server takes, and what it says to what it refuses.
func TestCreate(t *testing.T) {
	tests := map[string]struct{ object, err string }{
		"Smallest":        {object: federation + "{trust: {domain: shop.example}}"},
		"Whole":           {object: federation + "{meshID: shop, trust: {domain: shop.example, scope: Shared, root: {selfSigned: {validity: 8760h}}}, memberSelector: {matchLabels: {mesh: shop}}, controlPlane: {values: {replicaCount: 2}}, eastWestGateway: {replicas: 3, port: 443, serviceType: NodePort, values: {}}, exports: {rules: [{members: [west], namespaces: [pay]}]}}"},
		"NoTrust":         {object: federation + "{}", err: "spec.trust: Required value"},
		"UnknownField":    {object: federation + "{trust: {domain: shop.example, domian: x}}", err: `unknown field "spec.trust.domian"`},
		"UnknownDeep":     {object: member + "{kubeconfigSecretRef: {name: a, key: b}}", err: `unknown field "spec.kubeconfigSecretRef.key"`},
		"TwoRoots":        {object: federation + "{trust: {domain: a.b, root: {selfSigned: {}, secretRef: {name: x}}}}", err: "set one of selfSigned and secretRef, not both"},
		"ShortRoot":       {object: federation + "{trust: {domain: a.b, root: {selfSigned: {validity: 1h}}}}", err: "validity must be at least 24h"},
		"BadDomain":       {object: federation + "{trust: {domain: Shop/Example}}", err: "spec.trust.domain in body should match"},
		"BadScope":        {object: federation + "{trust: {domain: a.b, scope: Everybody}}", err: `supported values: "Member", "Shared"`},
		"NoReplicas":      {object: federation + "{trust: {domain: a.b}, eastWestGateway: {replicas: -1}}", err: "should be greater than or equal to 1"},
		"HealthCheck":     {object: federation + "{trust: {domain: a.b}, eastWestGateway: {healthCheck: {interval: 3s, timeout: 500ms, unhealthyThreshold: 5, healthyThreshold: 1}}}"},
		"NoHealthCheck":   {object: federation + "{trust: {domain: a.b}, eastWestGateway: {healthCheck: {disabled: true}}}"},
		"SlowHealthCheck": {object: federation + "{trust: {domain: a.b}, eastWestGateway: {healthCheck: {interval: 1s}}}", err: "timeout must be less than interval"},
		"HastyInterval":   {object: federation + "{trust: {domain: a.b}, eastWestGateway: {healthCheck: {interval: 100ms, timeout: 60ms}}}", err: "interval must be between 200ms and 5m"},
		"HastyTimeout":    {object: federation + "{trust: {domain: a.b}, eastWestGateway: {healthCheck: {timeout: 1ms}}}", err: "timeout must be between 50ms and 1m"},
		"NegativeChecks":  {object: federation + "{trust: {domain: a.b}, eastWestGateway: {healthCheck: {unhealthyThreshold: -1}}}", err: "should be greater than or equal to 1"},
		"RuleForNothing":  {object: federation + "{trust: {domain: a.b}, exports: {rules: [{members: [west]}]}}", err: "spec.exports.rules[0].namespaces: Required value"},
		"Kubeconfig":      {object: member + "{kubeconfigSecretRef: {name: west-kubeconfig}}"},
		"ClusterAPI":      {object: member + "{clusterRef: {name: west}}"},
		"NoCluster":       {object: member + "{}", err: "set exactly one of kubeconfigSecretRef and clusterRef"},
		"TwoClusters":     {object: member + "{kubeconfigSecretRef: {name: a}, clusterRef: {name: b}}", err: "set exactly one of kubeconfigSecretRef and clusterRef"},
		"NoSecretName":    {object: member + "{kubeconfigSecretRef: {name: ''}}", err: "spec.kubeconfigSecretRef.name"},
		"BadTraffic":      {object: member + "{clusterRef: {name: a}, traffic: Some}", err: `supported values: "Active", "Cordoned", "Draining"`},
		"BadGatewayPort":  {object: member + "{clusterRef: {name: a}, gateway: {addresses: [192.0.2.1], port: 70000}}", err: "should be less than or equal to 65535"},
		"GatewayNames":    {object: member + "{clusterRef: {name: a}, gateway: {addresses: [192.0.2.1, '2001:db8::1', lb.example]}}"},
		"GatewayWithPort": {object: member + "{clusterRef: {name: a}, gateway: {addresses: ['192.0.2.1:443']}}", err: "spec.gateway.addresses[0] in body should match"},
		"DottedName":      {object: strings.Replace(member, "west", "west.one", 1) + "{clusterRef: {name: a}}", err: "metadata.name is the cluster's name in the mesh and part of its trust domain"},
		"LongName":        {object: strings.Replace(member, "west", strings.Repeat("w", 64), 1) + "{clusterRef: {name: a}}", err: "metadata.name is the cluster's name in the mesh and part of its trust domain"},
		"NegativeTimeout": {object: member + "{clusterRef: {name: a}, unreachableTimeout: -1s}", err: "unreachableTimeout must not be negative"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, o := strict(t), parse(t, test.object)
			judged := &unstructured.Unstructured{}
			if text, err := o.MarshalJSON(); err != nil || judged.UnmarshalJSON(text) != nil {
				t.Fatal(err)
			}
			err := c.Create(t.Context(), o)
			if err == nil {
				defer remove(t, c, o)
			}
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, want %q in it", err, test.err)
			}
			// Without a server the definition says the same.
			errors, unknown := defined(t, o.GetKind()).Judge(t.Context(), judged.Object)
			text := fmt.Sprint(errors.ToAggregate(), unknown)
			if refused := len(errors)+len(unknown) > 0; refused != (err != nil) || len(errors) > 0 && !strings.Contains(text, test.err) {
				t.Errorf("without a server it is %s, want %q in it", text, test.err)
			}
			if err == nil {
				if diff := cmp.Diff(o.Object["spec"], judged.Object["spec"]); diff != "" {
					t.Errorf("defaults (-server +definition):\n%s", diff)
				}
			}
		})
	}
}

// defined is the definition of a kind.
func defined(t *testing.T, kind string) *definition.Definition {
	t.Helper()
	manifest, err := os.ReadFile("../../config/crd/bases/federation.isthmesh.dev_" + strings.ToLower(kind) + "s.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read, err := definition.Read(manifest)
	if err != nil || len(read) != 1 || read[0].Kind != kind {
		t.Fatalf("read %v: %v", read, err)
	}
	return read[0]
}

// TestUpdate: what can't be changed says so.
func TestUpdate(t *testing.T) {
	tests := map[string]struct{ before, after, err string }{
		"Selector":    {federation + "{trust: {domain: a.b}}", federation + "{trust: {domain: a.b}, memberSelector: {matchLabels: {a: b}}}", ""},
		"TrustDomain": {federation + "{trust: {domain: a.b}}", federation + "{trust: {domain: a.c}}", "trust.domain is immutable: identities of running workloads carry it"},
		"TrustScope":  {federation + "{trust: {domain: a.b}}", federation + "{trust: {domain: a.b, scope: Shared}}", "trust.scope is immutable: identities of running workloads depend on it"},
		"MeshID":      {federation + "{trust: {domain: a.b}, meshID: a}", federation + "{trust: {domain: a.b}, meshID: b}", "meshID is immutable"},
		"MeshIDGone":  {federation + "{trust: {domain: a.b}, meshID: a}", federation + "{trust: {domain: a.b}}", "meshID is immutable"},
		"Kubeconfig":  {member + "{kubeconfigSecretRef: {name: a}}", member + "{kubeconfigSecretRef: {name: b}}", ""},
		"Traffic":     {member + "{clusterRef: {name: a}}", member + "{clusterRef: {name: a}, traffic: Draining}", ""},
		"Network":     {member + "{clusterRef: {name: a}, network: n1}", member + "{clusterRef: {name: a}, network: n2}", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, o, next := strict(t), parse(t, test.before), parse(t, test.after)
			if err := c.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			defer remove(t, c, o)
			next.SetResourceVersion(o.GetResourceVersion())
			err := c.Update(t.Context(), next)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, want %q in it", err, test.err)
			}
		})
	}
}

// TestDefaults are what the documentation says.
func TestDefaults(t *testing.T) {
	c := strict(t)
	f, m := parse(t, federation+"{trust: {domain: a.b}}"), parse(t, member+"{clusterRef: {name: a}}")
	for _, o := range []*unstructured.Unstructured{f, m} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		defer remove(t, c, o)
	}
	for path, want := range map[string]any{
		"spec.trust.scope": "Member", "spec.eastWestGateway.replicas": int64(2), "spec.eastWestGateway.port": int64(15443), "spec.eastWestGateway.serviceType": "LoadBalancer",
	} {
		if got, _, err := unstructured.NestedFieldNoCopy(f.Object, strings.Split(path, ".")...); err != nil || got != want {
			t.Errorf("MeshFederation %s is %v (%v), want %v", path, got, err, want)
		}
	}
	for path, want := range map[string]any{"spec.traffic": "Active", "spec.deletionPolicy": "Delete"} {
		if got, _, err := unstructured.NestedFieldNoCopy(m.Object, strings.Split(path, ".")...); err != nil || got != want {
			t.Errorf("MeshMember %s is %v (%v), want %v", path, got, err, want)
		}
	}
}
