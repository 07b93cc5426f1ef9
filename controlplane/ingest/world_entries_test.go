// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

// entry draws a ServiceEntry whose hosts, addresses and selectors meet those of
// Services, pods, WorkloadEntries and other entries.
func (w world) entry() *networking.ServiceEntry {
	o := &networking.ServiceEntry{ObjectMeta: w.meta("e", "f")}
	o.Spec.Hosts = []string{
		pick(w, "host", "x.example", "y.example", "s.a.svc.cluster.local", "s.a", "*.example"),
		pick(w, "other host", "x.example", "z.example", "s.b.svc.cluster.local", "*.local"),
	}
	o.Spec.Resolution = networkingapi.ServiceEntry_Resolution(pick[int32](w, "resolution", 0, 1, 1, 2, 3, 4))
	o.Spec.Location = networkingapi.ServiceEntry_Location(pick[int32](w, "location", 0, 1))
	o.Spec.Addresses = pick(w, "addresses", nil, nil, []string{"10.96.0.1"}, []string{"192.0.2.1", "192.0.2.0/24"})
	o.Spec.ExportTo = pick(w, "to", nil, []string{"."}, []string{"b", "a"})
	o.Spec.SubjectAltNames = pick(w, "names", nil, []string{"spiffe://east.example/ns/a/sa/more", "n.example"})
	for i, name := range []string{"http", "tcp"} {
		if w.yes(name) {
			o.Spec.Ports = append(o.Spec.Ports, &networkingapi.ServicePort{
				Name: name, Number: uint32(pick(w, "port", 80, 81) + 10*i), Protocol: pick(w, "protocol", "HTTP", "TCP", ""),
			})
		}
	}
	switch pick(w, "endpoints", "none", "written", "selected") {
	case "written":
		o.Spec.Endpoints = []*networkingapi.WorkloadEntry{w.machine(), w.machine()}
	case "selected":
		o.Spec.WorkloadSelector = &networkingapi.WorkloadSelector{Labels: map[string]string{"app": pick(w, "app", "x", "y")}}
	}
	return o
}

func (w world) machine() *networkingapi.WorkloadEntry {
	return &networkingapi.WorkloadEntry{
		Address: pick(w, "address", "10.5.0.1", "10.5.0.2", "m.example", "unix:///run/a"), ServiceAccount: pick(w, "account", "", "one"),
		Labels: pick(w, "labels", nil, map[string]string{"app": "x"}, map[string]string{"app": "y"}),
		Weight: pick[uint32](w, "weight", 0, 5),
	}
}

// editEntries changes one ServiceEntry or WorkloadEntry.
func (w world) editEntries(in *ingest.Input) {
	switch pick(w, "entry", "set", "set", "machine", "remove", "remove machine") {
	case "set":
		in.Istio.ServiceEntries = set(in.Istio.ServiceEntries, w.entry())
	case "machine":
		o := &networking.WorkloadEntry{ObjectMeta: w.meta("p", "v")}
		w.machine().DeepCopyInto(&o.Spec)
		in.Istio.WorkloadEntries = set(in.Istio.WorkloadEntries, o)
	case "remove":
		in.Istio.ServiceEntries = less(w, in.Istio.ServiceEntries)
	case "remove machine":
		in.Istio.WorkloadEntries = less(w, in.Istio.WorkloadEntries)
	}
}
