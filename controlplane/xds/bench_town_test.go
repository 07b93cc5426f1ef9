// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// town is a member with so many HTTP services of four pods each, and all that
// makes its snapshots: what stands between a Kubernetes event and Push.
type town struct {
	in     ingest.Input
	result *ingest.Result
	shown  *snapshot.Snapshot
}

const podsPerService = 4

func newTown(services int) *town {
	t := &town{in: ingest.Input{Settings: model.Settings{
		MeshID: "town", Cluster: "west", Network: "west", TrustDomain: "west.example",
		RootNamespace: "istio-system", DomainSuffix: "cluster.local", ConnectTimeoutMillis: 10_000,
		Locality: model.Locality{Region: "eu", Zone: "eu-1"},
	}}}
	namespaces := max(services/100, 1)
	for n := range namespaces {
		t.in.Namespaces = append(t.in.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("ns-%03d", n)}})
	}
	for s := range services {
		name := fmt.Sprintf("svc-%05d", s)
		meta := metav1.ObjectMeta{Namespace: fmt.Sprintf("ns-%03d", s*namespaces/services), Name: name}
		t.in.Services = append(t.in.Services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			ClusterIP: fmt.Sprintf("10.96.%d.%d", s/250, s%250), Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
			Selector: map[string]string{"app": name},
		}})
		slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
		slice.Ports = []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080))}}
		for p := range podsPerService {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: meta.Namespace, Name: fmt.Sprintf("%s-%d", name, p), Labels: map[string]string{"app": name},
			}}
			pod.Spec = corev1.PodSpec{ServiceAccountName: name, NodeName: fmt.Sprintf("node-%d", p), Containers: []corev1.Container{{Name: "istio-proxy"}}}
			pod.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", 100+p, s/250, s%250)
			t.in.Pods = append(t.in.Pods, pod)
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses:  []string{pod.Status.PodIP},
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: meta.Namespace, Name: pod.Name},
				Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
			})
		}
		t.in.EndpointSlices = append(t.in.EndpointSlices, slice)
	}
	return t
}

// build the snapshot of what the town is now.
func (t *town) build() *snapshot.Snapshot {
	t.result = ingest.Build(t.in, t.result)
	t.shown = snapshot.Build(t.result.Mesh, t.shown)
	return t.shown
}

// flip whether the first pod of a service is ready.
func (t *town) flip(service int) {
	slice := t.in.EndpointSlices[service].DeepCopy()
	ready := !*slice.Endpoints[0].Conditions.Ready
	slice.Endpoints[0].Conditions.Ready = &ready
	t.in.EndpointSlices = slices.Clone(t.in.EndpointSlices)
	t.in.EndpointSlices[service] = slice
}

// pod that runs the i-th proxy: its name, namespace and service account.
func (t *town) pod(i int) (name, namespace, account string) {
	p := t.in.Pods[i*len(t.in.Pods)/400%len(t.in.Pods)]
	return p.Name, p.Namespace, p.Spec.ServiceAccountName
}
