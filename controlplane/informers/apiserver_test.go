// SPDX-License-Identifier: Apache-2.0

package informers_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	securityapi "istio.io/api/security/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

// TestRealAPIServer reads a real API server: lists that are streamed, protobuf,
// field selectors, and kinds whose definitions come when the mesh runs already.
func TestRealAPIServer(t *testing.T) {
	clients, err := informers.NewClients(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := informers.New(clients, "default", "default")
	if err != nil {
		t.Fatal(err)
	}
	runSet(t, s)
	synced, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := s.WaitSynced(synced); err != nil {
		t.Fatal(err)
	}
	want := optionalKinds()
	if diff := cmp.Diff(want, s.Missing()); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	createObjects(t, clients)
	in := await(t, s, func(in ingest.Input) bool {
		return holds(in.Services, "reviews") && holds(in.EndpointSlices, "reviews-1") && holds(in.Pods, "reviews-a") &&
			holds(in.Nodes, "n1") && in.MeshConfig == "enableAutoMtls: true"
	})
	for _, p := range in.Pods {
		if len(p.ManagedFields) > 0 || p.Annotations != nil {
			t.Errorf("pod %s is not stripped", p.Name)
		}
	}
	endPod(t, clients, "reviews-a")
	await(t, s, func(in ingest.Input) bool { return !holds(in.Pods, "reviews-a") })

	define(t, "multicluster.x-k8s.io", "v1beta1", "serviceexports", "ServiceExport")
	define(t, "security.istio.io", "v1", "peerauthentications", "PeerAuthentication")
	policy := &security.PeerAuthentication{ObjectMeta: metav1.ObjectMeta{Name: "strict"}}
	policy.Spec.Mtls = &securityapi.PeerAuthentication_MutualTLS{Mode: securityapi.PeerAuthentication_MutualTLS_STRICT}
	if _, err := clients.Istio.SecurityV1().PeerAuthentications("default").Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	export := &mcs.ServiceExport{ObjectMeta: metav1.ObjectMeta{Name: "reviews"}}
	if _, err := clients.MCS.MulticlusterV1beta1().ServiceExports("default").Create(t.Context(), export, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	in = await(t, s, func(in ingest.Input) bool {
		return holds(in.ServiceExports, "reviews") && holds(in.PeerAuthentications, "strict")
	})
	if mode := in.PeerAuthentications[0].Spec.GetMtls().GetMode(); mode != securityapi.PeerAuthentication_MutualTLS_STRICT {
		t.Errorf("mode is %v, want STRICT", mode)
	}
	for _, defined := range []string{"peerauthentications.security.istio.io", "serviceexports.multicluster.x-k8s.io"} {
		if slices.Contains(s.Missing(), defined) {
			t.Errorf("%s is missing", defined)
		}
	}
}

func holds[T metav1.Object](objects []T, name string) bool {
	for _, o := range objects {
		if o.GetName() == name {
			return true
		}
	}
	return false
}

// must fails the test when a create or an update did.
func must(t *testing.T) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func createObjects(t *testing.T, c informers.Clients) {
	t.Helper()
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: meta("reviews-1"), AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
	}
	pod := &corev1.Pod{ObjectMeta: meta("reviews-a"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
	pod.Annotations = map[string]string{"note": "long"}
	service := &corev1.Service{ObjectMeta: meta("reviews"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	core, ctx, options := c.Kubernetes.CoreV1(), t.Context(), metav1.CreateOptions{}
	must(t)(core.Services("default").Create(ctx, service, options))
	must(t)(c.Kubernetes.DiscoveryV1().EndpointSlices("default").Create(ctx, slice, options))
	must(t)(core.Pods("default").Create(ctx, pod, options))
	must(t)(core.Nodes().Create(ctx, &corev1.Node{ObjectMeta: meta("n1")}, options))
	for name, text := range map[string]string{"istio": "enableAutoMtls: true", "other": "not: read"} {
		must(t)(core.ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: meta(name), Data: map[string]string{"mesh": text}}, options))
	}
}

// endPod says that a pod has ended, as its kubelet would.
func endPod(t *testing.T, c informers.Clients, name string) {
	t.Helper()
	pods := c.Kubernetes.CoreV1().Pods("default")
	pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodSucceeded
	must(t)(pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}))
}

// define adds a kind to the API server, and waits until it is served.
func define(t *testing.T, group, version, plural, kind string) {
	t.Helper()
	client, err := apiextensions.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	crds := client.ApiextensionsV1().CustomResourceDefinitions()
	open := &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
	must(t)(crds.Create(t.Context(), &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Kind: kind, Singular: strings.ToLower(kind)},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: version, Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: open},
			}},
		},
	}, metav1.CreateOptions{}))
	// That its definition says so is not enough: what serves it hears of that later.
	var last error
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, deadline, true, func(ctx context.Context) (bool, error) {
		last = client.Discovery().RESTClient().Get().AbsPath("/apis", group, version, plural).Do(ctx).Error()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s is not served: %v, %v", plural, err, last)
	}
}
