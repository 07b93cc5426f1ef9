// SPDX-License-Identifier: Apache-2.0

package informers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

// customKinds are the custom resources that are read, by group and version.
var customKinds = map[schema.GroupVersion][]string{
	{Group: "networking.istio.io", Version: "v1"}: {
		"virtualservices", "destinationrules", "gateways", "serviceentries", "sidecars", "workloadentries", "workloadgroups",
	},
	{Group: "networking.istio.io", Version: "v1beta1"}:   {"proxyconfigs"},
	{Group: "networking.istio.io", Version: "v1alpha3"}:  {"envoyfilters"},
	{Group: "security.istio.io", Version: "v1"}:          {"authorizationpolicies", "requestauthentications"},
	{Group: "extensions.istio.io", Version: "v1alpha1"}:  {"wasmplugins", "trafficextensions"},
	{Group: "telemetry.istio.io", Version: "v1"}:         {"telemetries"},
	{Group: "multicluster.x-k8s.io", Version: "v1beta1"}: {"serviceimports"},
	{Group: "policy.isthmesh.dev", Version: "v1alpha1"}:  {"ratelimitpolicies"},
	{Group: "gateway.networking.k8s.io", Version: "v1"}: {
		"gatewayclasses", "gateways", "listenersets", "httproutes", "grpcroutes", "tlsroutes", "tcproutes", "udproutes", "backendtlspolicies",
	},
	{Group: "gateway.networking.k8s.io", Version: "v1beta1"}: {"referencegrants"},
}

// customLists names the list kinds for the fake; any name will do.
var customLists = func() map[schema.GroupVersionResource]string {
	lists := map[schema.GroupVersionResource]string{}
	for gv, resources := range customKinds {
		for _, r := range resources {
			lists[gv.WithResource(r)] = r + "List"
		}
	}
	return lists
}()

// optionalKinds are the names of the CRDs of everything that a cluster may lack, sorted.
func optionalKinds() []string {
	names := []string{"peerauthentications.security.istio.io", "serviceexports.multicluster.x-k8s.io"}
	for gvr := range customLists {
		names = append(names, gvr.Resource+"."+gvr.Group)
	}
	slices.Sort(names)
	return names
}

// create puts an object, as YAML, into the cluster.
func (c *cluster) create(t *testing.T, resource, text string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	api := c.dynamic.Resource(u.GroupVersionKind().GroupVersion().WithResource(resource)).Namespace(u.GetNamespace())
	if _, err := api.Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestOneBadObjectCostsOnlyItself has an object that doesn't fit its type
// beside one that does.
func TestOneBadObjectCostsOnlyItself(t *testing.T) {
	c := newCluster(t)
	c.install(t, "virtualservices.networking.istio.io")
	c.install(t, "gateways.gateway.networking.k8s.io")
	c.create(t, "virtualservices", `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: bad
  namespace: shop
  annotations: {federation.isthmesh.dev/malformed: forged, kubectl.kubernetes.io/last-applied-configuration: long, istio.io/dry-run: "true"}
spec: {hosts: [reviews], http: [{timeout: soon}]}
`)
	c.create(t, "virtualservices", `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: good, namespace: shop, generation: 3, labels: {team: a}, managedFields: [{manager: kubectl}]}
spec: {hosts: [reviews], http: [{timeout: 5s, route: [{destination: {host: reviews}}]}]}
status: {observedGeneration: 7}
`)
	c.create(t, "gateways", `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: istio, listeners: []}
`)
	s := c.start(t)
	in := await(t, s, func(in ingest.Input) bool {
		return len(in.Istio.VirtualServices) == 2 && len(in.GatewayAPI.Gateways) == 1
	})
	bad, good := in.Istio.VirtualServices[0], in.Istio.VirtualServices[1]
	if text := bad.Annotations[ingest.MalformedAnnotation]; !strings.Contains(text, "Duration") || len(bad.Spec.Hosts) > 0 {
		t.Errorf("the bad object says %q and has %v", text, &bad.Spec)
	}
	if diff := cmp.Diff([]string{"federation.isthmesh.dev/malformed", "istio.io/dry-run"}, sortedKeys(bad.Annotations)); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if good.Spec.Http[0].Timeout.GetSeconds() != 5 || good.Generation != 3 || good.Labels["team"] != "a" {
		t.Errorf("the good object is %v", good)
	}
	if good.ManagedFields != nil || good.Status.ObservedGeneration != 0 {
		t.Errorf("the good object holds what the mesh doesn't read: %v", good)
	}
	built := ingest.Build(in, nil).Mesh
	if len(built.Problems) != 1 || built.Problems[0].Name != "bad" || !strings.Contains(built.Problems[0].Message, "can't be read") {
		t.Errorf("problems are %v", built.Problems)
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
