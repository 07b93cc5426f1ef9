// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"testing"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestHostileEntries: whatever an entry says, Build ends, and what it lets
// through can be written into a configuration.
func TestHostileEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"", "*", "*.", ".", "*.svc.cluster.local", "a.b.svc.cluster.local", "a", "a.b", "svc.cluster.local", "..", "10.0.0.1", "10.0.0.0/8", "::/0",
			"unix://", "unix:///a", "1.2.3.4.5", "a/b", "spiffe://x",
		}))
		texts := rapid.SliceOfN(text, 0, 4)
		o := &networking.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "e"}}
		o.Spec.Hosts, o.Spec.Addresses = texts.Draw(t, "hosts"), texts.Draw(t, "addresses")
		o.Spec.ExportTo, o.Spec.SubjectAltNames = texts.Draw(t, "to"), texts.Draw(t, "names")
		o.Spec.Resolution = networkingapi.ServiceEntry_Resolution(rapid.Int32Range(-1, 6).Draw(t, "resolution"))
		o.Spec.Location = networkingapi.ServiceEntry_Location(rapid.Int32Range(-1, 3).Draw(t, "location"))
		for range rapid.IntRange(0, 3).Draw(t, "ports") {
			o.Spec.Ports = append(o.Spec.Ports, &networkingapi.ServicePort{
				Number: rapid.Uint32().Draw(t, "port"), Protocol: text.Draw(t, "protocol"), Name: text.Draw(t, "name"),
				TargetPort: rapid.Uint32Range(0, 70000).Draw(t, "target"),
			})
		}
		machine := func() *networkingapi.WorkloadEntry {
			return &networkingapi.WorkloadEntry{
				Address: text.Draw(t, "address"), Ports: map[string]uint32{text.Draw(t, "port name"): rapid.Uint32().Draw(t, "port")},
				Labels: map[string]string{text.Draw(t, "label"): text.Draw(t, "value")}, Weight: rapid.Uint32().Draw(t, "weight"),
				ServiceAccount: text.Draw(t, "account"), Network: text.Draw(t, "network"), Locality: text.Draw(t, "locality"),
			}
		}
		o.Spec.Endpoints = []*networkingapi.WorkloadEntry{machine(), nil}
		v := &networking.WorkloadEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "v"}}
		machine().DeepCopyInto(&v.Spec)
		m := ingest.Build(ingest.Input{Istio: ingest.Istio{
			ServiceEntries: []*networking.ServiceEntry{o}, WorkloadEntries: []*networking.WorkloadEntry{v},
			WorkloadGroups: []*networking.WorkloadGroup{{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "g"}}},
		}, Settings: model.Settings{Cluster: "east"}}, nil).Mesh
		for _, s := range m.Services {
			for i, p := range s.Service.Ports {
				if p.Number == 0 {
					t.Fatalf("service %q has port 0", s.Service.Hostname)
				}
				for _, e := range s.Endpoints[i].Endpoints {
					if e.Port == 0 || e.Weight == 0 || e.Weight > 1_000_000 || e.Address == "" {
						t.Fatalf("endpoint %+v can't be sent to", e)
					}
				}
			}
		}
	})
}
