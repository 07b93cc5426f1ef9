// SPDX-License-Identifier: Apache-2.0

package member

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/wire"
)

func east() *federationv1.Member {
	return &federationv1.Member{Name: "east", Network: "n1", TrustDomain: "east.shop.example", Hash: []byte("h"), Epoch: "1"}
}

func service(namespace, name string) *federationv1.Service {
	s := wire.FromExport(&model.Export{
		Namespace: namespace, Name: name, CreatedUnix: 1, ServiceAccounts: []string{namespace + "/a"},
		Ports: []model.ExportPort{{
			Name: "http", Number: 80, Protocol: model.HTTP, Zones: []model.ZoneCount{{Ready: 2}},
			Subsets:   []model.ExportSubset{{Name: "v1", Labels: "version=v1", Zones: []model.ZoneCount{{Ready: 1}}}, {Name: "v2", Labels: "version=v2"}},
			Endpoints: []model.ExportEndpoint{{Address: "10.0.0.1", Port: 8080, MTLS: true, Labels: "version=v1"}},
		}},
	})
	s.Hash = []byte("hub's own")
	return s
}

func held1(t *testing.T) *imports {
	t.Helper()
	i := newImports("west", "n2")
	i.apply(&federationv1.ImportUpdate{
		Members:  []*federationv1.Member{east()},
		Services: []*federationv1.MemberServices{{Member: "east", Updated: []*federationv1.Service{service("shop", "reviews")}}},
	})
	if len(i.refused) != 0 || i.services != 1 {
		t.Fatalf("a good update was refused: %v", i.refused)
	}
	return i
}

// TestHostileHub: what a hub that was taken over relays is refused by name, and
// what was there before stays.
func TestHostileHub(t *testing.T) {
	from := func(m string, s *federationv1.Service) *federationv1.ImportUpdate {
		return &federationv1.ImportUpdate{Services: []*federationv1.MemberServices{{Member: m, Updated: []*federationv1.Service{s}}}}
	}
	spoiled := func(f func(*federationv1.Service)) *federationv1.ImportUpdate {
		s := service("shop", "reviews")
		f(s)
		return from("east", s)
	}
	introduced := func(f func(*federationv1.Member)) *federationv1.ImportUpdate {
		m := east()
		f(m)
		return &federationv1.ImportUpdate{Members: []*federationv1.Member{m}}
	}
	for name, c := range map[string]struct {
		update *federationv1.ImportUpdate
		reason string
	}{
		"OwnName":         {introduced(func(m *federationv1.Member) { m.Name = "west" }), wire.ReasonMalformed},
		"OwnServices":     {from("west", service("shop", "cart")), wire.ReasonMalformed},
		"Stranger":        {from("nobody", service("shop", "cart")), wire.ReasonMalformed},
		"NoMember":        {from("", service("shop", "cart")), wire.ReasonMalformed},
		"ControlPlane":    {from("east", service("istio-system", "istiod")), wire.ReasonNamespace},
		"KubeSystem":      {from("east", service("kube-system", "kube-dns")), wire.ReasonNamespace},
		"Wildcard":        {from("east", service("*", "x")), wire.ReasonMalformed},
		"NoKey":           {from("east", &federationv1.Service{}), wire.ReasonMalformed},
		"Loopback":        {spoiled(func(s *federationv1.Service) { s.Ports[0].Endpoints[0].Address = "127.0.0.1" }), wire.ReasonAddress},
		"Metadata":        {spoiled(func(s *federationv1.Service) { s.Ports[0].Endpoints[0].Address = "169.254.169.254" }), wire.ReasonAddress},
		"ForeignAccount":  {spoiled(func(s *federationv1.Service) { s.ServiceAccounts = []string{"bank/root"} }), wire.ReasonAccount},
		"ManyReady":       {spoiled(func(s *federationv1.Service) { s.Ports[0].Zones[0].Ready = 1 << 31 }), wire.ReasonTooLarge},
		"ManyInSubset":    {spoiled(func(s *federationv1.Service) { s.Ports[0].Subsets[0].Zones[0].Ready = 1 << 31 }), wire.ReasonTooLarge},
		"SubsetName":      {spoiled(func(s *federationv1.Service) { s.Ports[0].Subsets[0].Name = "*" }), wire.ReasonMalformed},
		"SubsetLabels":    {spoiled(func(s *federationv1.Service) { s.Ports[0].Subsets[1].Labels = "" }), wire.ReasonMalformed},
		"EndpointLabels":  {spoiled(func(s *federationv1.Service) { s.Ports[0].Endpoints[0].Labels = "version=v1=" }), wire.ReasonMalformed},
		"Port":            {spoiled(func(s *federationv1.Service) { s.Ports[0].Number = 1 << 20 }), wire.ReasonMalformed},
		"LoopbackGateway": {introduced(func(m *federationv1.Member) { m.Gateways = []*federationv1.Gateway{{Address: "::1", Port: 1}} }), wire.ReasonAddress},
		"BadTrustDomain":  {introduced(func(m *federationv1.Member) { m.TrustDomain = "*" }), wire.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			i := held1(t)
			before := i.build()
			i.apply(c.update)
			if d := cmp.Diff(before, i.build()); d != "" {
				t.Errorf("it changed what is imported:\n%s", d)
			}
			ack := i.acknowledgement(1)
			if len(ack.GetRefused()) != 1 || ack.GetRefused()[0].GetReason() != c.reason {
				t.Errorf("refused %v, want one with reason %s", ack.GetRefused(), c.reason)
			}
		})
	}
}

// TestSharing: what did not change is the same value, and a refusal is taken
// back with what was refused.
func TestSharing(t *testing.T) {
	i := held1(t)
	i.apply(&federationv1.ImportUpdate{
		Members:  []*federationv1.Member{{Name: "south", Network: "n3", TrustDomain: "south.shop.example"}},
		Services: []*federationv1.MemberServices{{Member: "south", Updated: []*federationv1.Service{service("shop", "cart"), service("shop", "stock")}}},
	})
	before := i.build()
	i.apply(&federationv1.ImportUpdate{Services: []*federationv1.MemberServices{{
		Member: "south", Updated: []*federationv1.Service{service("shop", "stock"), service("kube-system", "x")}, Removed: []*federationv1.ServiceKey{{Namespace: "no", Name: "such"}},
	}}})
	after := i.build()
	if &before.Members[0].Services[0] != &after.Members[0].Services[0] {
		t.Error("the slice of a member that did not change was copied")
	}
	if before.Members[1].Services[0] != after.Members[1].Services[0] || before.Members[1].Services[1] == after.Members[1].Services[1] {
		t.Error("exactly the service that came must be another value")
	}
	if len(i.refused) != 1 {
		t.Fatalf("refused %v, want one", i.refused)
	}
	i.apply(&federationv1.ImportUpdate{Services: []*federationv1.MemberServices{{Member: "south", Removed: []*federationv1.ServiceKey{{Namespace: "kube-system", Name: "x"}}}}})
	if len(i.refused) != 0 {
		t.Errorf("refused %v, want none any more", i.refused)
	}
	i.apply(&federationv1.ImportUpdate{RemovedMembers: []string{"south", "nobody"}})
	if i.services != 1 || len(i.build().Members) != 1 {
		t.Errorf("%d services of %d members are left, want 1 of 1", i.services, len(i.build().Members))
	}
}

// TestNetworks: pod addresses count only while the exporter's network is this
// member's, whatever came when.
func TestNetworks(t *testing.T) {
	i := newImports("west", "n1")
	update := &federationv1.ImportUpdate{
		Members:  []*federationv1.Member{east()},
		Services: []*federationv1.MemberServices{{Member: "east", Updated: []*federationv1.Service{service("shop", "reviews")}}},
	}
	i.apply(update)
	if n := len(i.build().Members[0].Services[0].Ports[0].Endpoints); n != 1 {
		t.Errorf("%d endpoints in the same network, want 1", n)
	}
	moved := east()
	moved.Network = "n9"
	i.apply(&federationv1.ImportUpdate{Members: []*federationv1.Member{moved}})
	far := i.build().Members[0].Services[0].Ports[0]
	if n := len(far.Endpoints); n != 0 {
		t.Errorf("%d endpoints in another network, want 0", n)
	}
	if len(far.Subsets) != 2 || far.Subsets[0].Zones[0].Ready != 1 {
		t.Errorf("subsets %v in another network, want them all", far.Subsets)
	}
}

// TestSnapshot: what is kept is what comes back, with the hub's hashes, and a
// snapshot of somebody else is not taken.
func TestSnapshot(t *testing.T) {
	i := held1(t)
	b, err := i.snapshot("shop.mesh")
	if err != nil {
		t.Fatal(err)
	}
	back := newImports("west", "n2")
	if err := back.restore("shop.mesh", b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(i.build(), back.build()); d != "" {
		t.Error(d)
	}
	if got, want := back.hellos("v", "a")[0].String(), i.hellos("v", "a")[0].String(); got != want {
		t.Errorf("says it holds %s, want %s", got, want)
	}
	for name, err := range map[string]error{
		"OtherFederation": newImports("west", "n2").restore("bank.mesh", b),
		"OtherMember":     newImports("south", "n2").restore("shop.mesh", b),
		"Garbage":         newImports("west", "n2").restore("shop.mesh", []byte("garbage")),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
