// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// town is a mesh of services with four pods each, sorted as informers give them.
func town(services, namespaces int) ingest.Input {
	in := ingest.Input{Settings: model.Settings{Cluster: "east", Network: "east", TrustDomain: "east.example"}}
	for s := range services {
		ns, name := fmt.Sprintf("ns-%03d", s*namespaces/services), fmt.Sprintf("svc-%05d", s)
		meta := metav1.ObjectMeta{Namespace: ns, Name: name}
		in.Services = append(in.Services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			ClusterIP: fmt.Sprintf("10.96.%d.%d", s/250, s%250), Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
		}})
		slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
		slice.Ports = []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080))}}
		for p := range 4 {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("%s-%d", name, p), Labels: map[string]string{"app": name}}}
			pod.Spec = corev1.PodSpec{ServiceAccountName: name, NodeName: fmt.Sprintf("node-%d", p), Containers: []corev1.Container{{Name: "istio-proxy"}}}
			pod.Status.PodIP = fmt.Sprintf("10.%d.%d.%d", s/250, s%250, p)
			in.Pods = append(in.Pods, pod)
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{pod.Status.PodIP}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod.Name},
			})
		}
		in.EndpointSlices = append(in.EndpointSlices, slice)
	}
	return in
}

// flip returns in with one endpoint of one slice other than before.
func flip(in ingest.Input, at int, ready bool) ingest.Input {
	slice := in.EndpointSlices[at].DeepCopy()
	slice.Endpoints[0].Conditions.Ready = &ready
	in.EndpointSlices = slices.Clone(in.EndpointSlices)
	in.EndpointSlices[at] = slice
	return in
}

// BenchmarkBuildOneChange: one endpoint of 1,000 services of four comes or goes.
func BenchmarkBuildOneChange(b *testing.B) {
	for _, namespaces := range []int{1, 50} {
		b.Run(fmt.Sprintf("namespaces=%d", namespaces), func(b *testing.B) {
			in := town(1000, namespaces)
			states := [2]ingest.Input{flip(in, 500, false), flip(in, 500, true)}
			result := ingest.Build(states[1], nil)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				result = ingest.Build(states[i%2], result)
			}
		})
	}
}

// BenchmarkBuildPodChange: a pod of 4,000 gets another label.
func BenchmarkBuildPodChange(b *testing.B) {
	in := town(1000, 1)
	var states [2]ingest.Input
	for i := range states {
		states[i] = in
		states[i].Pods = slices.Clone(in.Pods)
		states[i].Pods[2000] = in.Pods[2000].DeepCopy()
		states[i].Pods[2000].Labels["round"] = fmt.Sprint(i)
	}
	result := ingest.Build(states[1], nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		result = ingest.Build(states[i%2], result)
	}
}

// BenchmarkBuildFromScratch is the start of a control plane.
func BenchmarkBuildFromScratch(b *testing.B) {
	in := town(1000, 50)
	b.ReportAllocs()
	for b.Loop() {
		ingest.Build(in, nil)
	}
}

// TestOneChangeRebuildsOneService: of 1,000 services, only the one whose slice
// changed has another pointer, and of that only its endpoints.
func TestOneChangeRebuildsOneService(t *testing.T) {
	in := town(1000, 1)
	first := ingest.Build(in, nil)
	second := ingest.Build(flip(in, 500, false), first)
	changed := 0
	for i, s := range second.Mesh.Services {
		if s.Service != first.Mesh.Services[i].Service {
			t.Errorf("service %s is another pointer", s.Service.Hostname)
		}
		if s.Endpoints[0] != first.Mesh.Services[i].Endpoints[0] {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d endpoint sets are other pointers, want 1", changed)
	}
	if &second.Mesh.Workloads[0] != &first.Mesh.Workloads[0] {
		t.Error("the workloads are another slice")
	}
}

// BenchmarkBuildImportChange: one of 1,000 services of each of ten members has
// another number of ready endpoints.
func BenchmarkBuildImportChange(b *testing.B) {
	member := func(m, ready int) model.ImportedMember {
		out := model.ImportedMember{
			Cluster: model.ClusterID(fmt.Sprintf("m-%d", m)), Network: model.NetworkID(fmt.Sprintf("m-%d", m)), TrustDomain: fmt.Sprintf("m-%d.example", m),
			Gateways: []model.GatewayAddress{{Address: fmt.Sprintf("192.0.2.%d", m+1), Port: 15443}},
		}
		for s := range 1000 {
			out.Services = append(out.Services, &model.Export{
				Namespace: "shop", Name: fmt.Sprintf("svc-%04d", s), ServiceAccounts: []string{"shop/a"},
				Ports: []model.ExportPort{{Number: 80, Protocol: model.HTTP, Zones: []model.ZoneCount{{Ready: uint32(ready)}}}},
			})
		}
		return out
	}
	first := &model.Imports{}
	for m := range 10 {
		first.Members = append(first.Members, member(m, 3))
	}
	second := &model.Imports{Members: slices.Clone(first.Members)}
	second.Members[4].Services = slices.Clone(first.Members[4].Services)
	second.Members[4].Services[500] = member(4, 4).Services[500]
	states := [2]ingest.Input{{Imports: first}, {Imports: second}}
	result := ingest.Build(states[1], nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		result = ingest.Build(states[i%2], result)
	}
}
