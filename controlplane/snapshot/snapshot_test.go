// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// everybody is one sidecar of each kind of class, a sidecar that is not known,
// and a gateway.
func everybody(m *model.Mesh) []*model.Proxy {
	var out []*model.Proxy
	for _, w := range m.Workloads {
		out = append(out, proxy(w))
	}
	return append(out,
		&model.Proxy{Type: model.Sidecar, Name: "new", Namespace: "ns0", Locality: model.Locality{Region: "us"}},
		&model.Proxy{Type: model.Router, Labels: map[string]string{"istio": "eastwestgateway"}},
	)
}

// differences are the names of the resources of all views that are not the very
// same as before, and of those that went.
func differences(t *testing.T, m *model.Mesh, before, after *snapshot.Snapshot) []string {
	t.Helper()
	out := map[string]bool{}
	for _, p := range everybody(m) {
		was, is := before.View(p), after.View(p)
		for typeURL, layers := range is.Types {
			for i, pair := range [][2]*envoy.Layer{{was.Types[typeURL].Shared, layers.Shared}, {was.Types[typeURL].Own, layers.Own}} {
				names := diff(pair[0], pair[1])
				if len(names) == 0 && pair[0] != pair[1] {
					t.Errorf("%s layer %d of %s is another pointer with the same content", typeURL, i, p.Name)
				}
				for _, n := range names {
					out[n] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(out))
}

func diff(was, is *envoy.Layer) []string {
	var out []string
	for _, r := range is.Resources() {
		if was.Get(r.Name) != r {
			out = append(out, r.Name)
		}
	}
	for _, r := range was.Resources() {
		if is.Get(r.Name) == nil {
			out = append(out, "-"+r.Name)
		}
	}
	return out
}

func mixed() *model.Mesh {
	m := world(20, 3)
	for i, st := range m.Services {
		svc := *st.Service
		switch i % 5 {
		case 1:
			svc.Ports = []model.Port{{Name: "auto", Number: 80, Protocol: model.Auto}}
		case 2:
			svc.Ports = []model.Port{{Name: "tcp", Number: 80, Protocol: model.TCP}}
			svc.Exported = true
		case 3:
			svc.PreferClose = true
		case 4:
			svc.Imported, svc.Aliases = true, []model.Hostname{model.Hostname(svc.Name + "." + svc.Namespace + ".svc.clusterset.local")}
			st.Endpoints[0].Endpoints = append(st.Endpoints[0].Endpoints,
				model.Endpoint{Address: "192.0.2.1", Port: 15443, Weight: 2, MTLS: true, Gateway: true, Cluster: "east", Network: "east", Locality: model.Locality{Region: "us"}})
		}
		m.Services[i].Service = &svc
	}
	return m
}

func TestBuildPaysForWhatChanged(t *testing.T) {
	replace := func(m *model.Mesh, i int, change func(*model.Service, *model.EndpointSet)) *model.Mesh {
		out := *m
		out.Services = slices.Clone(m.Services)
		svc, set := *m.Services[i].Service, model.EndpointSet{Endpoints: slices.Clone(m.Services[i].Endpoints[0].Endpoints)}
		change(&svc, &set)
		state := m.Services[i]
		if !cmp.Equal(svc, *state.Service, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
			state.Service = &svc
		}
		if !cmp.Equal(set, *state.Endpoints[0]) {
			state.Endpoints = []*model.EndpointSet{&set}
		}
		out.Services[i] = state
		return &out
	}
	host := func(m *model.Mesh, i int) model.Hostname { return m.Services[i].Service.Hostname }
	drop := func(_ *model.Service, set *model.EndpointSet) { set.Endpoints = set.Endpoints[1:] }
	m := mixed()
	for name, c := range map[string]struct {
		to   *model.Mesh
		want []string
	}{
		"Nothing":               {m, nil},
		"EndpointOfHTTP":        {replace(m, 0, drop), []string{envoy.Outbound(80, host(m, 0))}},
		"EndpointOfAuto":        {replace(m, 1, drop), []string{envoy.Outbound(80, host(m, 1))}},
		"EndpointOfExported":    {replace(m, 2, drop), []string{envoy.SNI(80, host(m, 2)), envoy.Outbound(80, host(m, 2))}},
		"EndpointOfPreferClose": {replace(m, 3, drop), []string{envoy.Outbound(80, host(m, 3))}},
		"EndpointOfImported":    {replace(m, 4, drop), []string{envoy.Outbound(80, host(m, 4))}},
		"WeightOfGateway":       {replace(m, 4, func(_ *model.Service, s *model.EndpointSet) { s.Endpoints[3].Weight = 9 }), []string{envoy.Outbound(80, host(m, 4))}},
		"Identity":              {replace(m, 0, func(s *model.Service, _ *model.EndpointSet) { s.Identities = []string{"spiffe://a/ns/b/sa/c"} }), []string{envoy.Outbound(80, host(m, 0))}},
		"Export":                {replace(m, 0, func(s *model.Service, _ *model.EndpointSet) { s.Exported = true }), []string{"0.0.0.0_15443", envoy.SNI(80, host(m, 0))}},
		"PreferClose":           {replace(m, 0, func(s *model.Service, _ *model.EndpointSet) { s.PreferClose = true }), []string{envoy.Outbound(80, host(m, 0))}},
		"AddressOfHTTP":         {replace(m, 0, func(s *model.Service, _ *model.EndpointSet) { s.Addresses = addresses("10.97.0.1") }), []string{"80"}},
		"AddressOfTCP":          {replace(m, 2, func(s *model.Service, _ *model.EndpointSet) { s.Addresses = addresses("10.97.0.1") }), []string{"-" + m.Services[2].Service.Addresses[0].String() + "_80", "10.97.0.1_80"}},
		"ServiceObjectOnly": {replace(m, 0, func(s *model.Service, _ *model.EndpointSet) {
			s.Local = false
			s.Local = true
			s.Kind = model.ClusterIP
		}), nil},
		"ProtocolFromAutoToTCP": {replace(m, 1, func(s *model.Service, _ *model.EndpointSet) {
			s.Ports = []model.Port{{Name: "auto", Number: 80, Protocol: model.TCP}}
		}), []string{"-" + envoy.ServiceRoute(80, host(m, 1)), m.Services[1].Service.Addresses[0].String() + "_80", envoy.Outbound(80, host(m, 1))}},
		"TheGatewayOfAnImportGoes": {replace(m, 4, func(_ *model.Service, s *model.EndpointSet) { s.Endpoints = s.Endpoints[:3] }), []string{envoy.Outbound(80, host(m, 4))}},
	} {
		t.Run(name, func(t *testing.T) {
			before := snapshot.Build(m, nil)
			for _, p := range everybody(m) {
				before.View(p)
			}
			after := snapshot.Build(c.to, before)
			if d := cmp.Diff(c.want, differences(t, m, before, after)); d != "" {
				t.Errorf("other resources than these are new (-want +got):\n%s", d)
			}
			// A snapshot that grew out of another one is the same as one from nothing.
			sameBytes(t, c.to, after, snapshot.Build(c.to, nil))
			if len(after.Problems()) > 0 {
				t.Error(after.Problems())
			}
		})
	}
}

func addresses(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func sameBytes(t *testing.T, m *model.Mesh, a, b *snapshot.Snapshot) {
	t.Helper()
	for _, p := range everybody(m) {
		va, vb := a.View(p), b.View(p)
		for typeURL, layers := range va.Types {
			for _, pair := range [][2]*envoy.Layer{{layers.Shared, vb.Types[typeURL].Shared}, {layers.Own, vb.Types[typeURL].Own}} {
				if d := cmp.Diff(versions(pair[1]), versions(pair[0])); d != "" {
					t.Errorf("%s of %s differs from a fresh build (-fresh +grown):\n%s", typeURL, p.Name, d)
				}
			}
		}
	}
}

func versions(l *envoy.Layer) map[string]string {
	out := map[string]string{}
	for _, r := range l.Resources() {
		out[r.Name] = r.Version
	}
	return out
}

// TestOneClassOneLayer: proxies that see the same share it by pointer.
func TestOneClassOneLayer(t *testing.T) {
	m := mixed()
	s := snapshot.Build(m, nil)
	in := func(ns, zone string, n int) *model.Proxy {
		for _, w := range m.Workloads {
			if w.Namespace == ns && w.Locality.Zone == zone {
				if n == 0 {
					return proxy(w)
				}
				n--
			}
		}
		t.Fatalf("no workload in %s, %s", ns, zone)
		return nil
	}
	a, b, elsewhere, other := s.View(in("ns0", "eu-0", 0)), s.View(in("ns0", "eu-0", 1)), s.View(in("ns0", "eu-1", 0)), s.View(in("ns1", "eu-0", 0))
	for typeURL, same := range map[string][2]bool{
		// Shared by the neighbour in another zone, and by the one in another namespace.
		envoy.ClusterType: {true, true}, envoy.ListenerType: {true, true}, envoy.RouteType: {true, true},
		envoy.EndpointType: {false, true}, envoy.NameTableType: {true, true},
	} {
		if a.Types[typeURL].Shared != b.Types[typeURL].Shared {
			t.Errorf("%s: two of one class have two layers", typeURL)
		}
		if (a.Types[typeURL].Shared == elsewhere.Types[typeURL].Shared) != same[0] {
			t.Errorf("%s: shared with another zone: %v", typeURL, !same[0])
		}
		if (a.Types[typeURL].Shared == other.Types[typeURL].Shared) != same[1] {
			t.Errorf("%s: shared with another namespace: %v", typeURL, !same[1])
		}
	}
	if a.Types[envoy.RouteType].Own != b.Types[envoy.RouteType].Own || a.Types[envoy.RouteType].Own == other.Types[envoy.RouteType].Own {
		t.Error("routes are not those of the namespace")
	}
	// What depends on nobody's place is shared even between layers that differ.
	name := envoy.Outbound(80, m.Services[0].Service.Hostname)
	if a.Get(envoy.EndpointType, name) != elsewhere.Get(envoy.EndpointType, name) {
		t.Error("endpoints that are the same everywhere were made twice")
	}
}

// TestConcurrentViews is for the race detector, and checks that all see the same.
func TestConcurrentViews(t *testing.T) {
	m := mixed()
	s := snapshot.Build(m, nil)
	var wg sync.WaitGroup
	views := make([]*envoy.View, 16)
	for i := range views {
		wg.Go(func() {
			for _, p := range everybody(m) {
				views[i] = s.View(p)
			}
		})
	}
	next := make([]*snapshot.Snapshot, 4)
	for i := range next {
		wg.Go(func() { next[i] = snapshot.Build(withoutOne(m, i), s) })
	}
	wg.Wait()
	for _, v := range views {
		if v.Types[envoy.ListenerType] != views[0].Types[envoy.ListenerType] {
			t.Error("two layers for one proxy")
		}
	}
}

// TestNothingIsKeptForEver: classes that nobody asks for and workloads that went
// are forgotten, also when snapshots are skipped.
func TestNothingIsKeptForEver(t *testing.T) {
	m := mixed()
	s := snapshot.Build(m, nil)
	for i := range 50 {
		s.View(&model.Proxy{Type: model.Sidecar, Namespace: fmt.Sprint("tmp", i), Locality: model.Locality{Region: fmt.Sprint("r", i)}})
	}
	for _, w := range m.Workloads {
		s.View(proxy(w))
	}
	empty := *m
	empty.Workloads = nil
	for range 100 {
		s = snapshot.Build(&empty, s)
	}
	if n := s.Kept(); n > 1 {
		t.Errorf("%d classes and workloads are kept that nobody asks for", n)
	}
}

func TestUnknownWorkloadIsClosed(t *testing.T) {
	s := snapshot.Build(mixed(), nil)
	v := s.View(&model.Proxy{Type: model.Sidecar, Name: "unknown", Namespace: "ns0"})
	if v.Get(envoy.ListenerType, envoy.VirtualInbound) == nil || v.Get(envoy.ClusterType, envoy.InboundPassthroughCluster) == nil {
		t.Error("a proxy whose pod is not known yet loses its inbound listener")
	}
	if len(s.View(&model.Proxy{Type: model.Router}).Types) != 0 {
		t.Error("a router that is no gateway of ours sees something")
	}
}

// TestSubsetsAcrossMembersPayForWhatChanged: an endpoint that comes or goes costs
// the subsets that it is in, and a rule's subset nothing but itself.
func TestSubsetsAcrossMembersPayForWhatChanged(t *testing.T) {
	m := mixed()
	exported, imported := m.Services[2].Service, m.Services[4].Service
	of := func(svc *model.Service, subsets ...string) *model.DestinationPolicy {
		p := &model.DestinationPolicy{Origin: model.Origin{Kind: "DestinationRule", Namespace: svc.Namespace, Name: svc.Name}, Host: string(svc.Hostname)}
		for _, s := range subsets {
			p.Subsets = append(p.Subsets, model.Subset{Name: s, Labels: model.Labels("version=" + s)})
		}
		return p
	}
	set := func(m *model.Mesh, i int, change func(*model.EndpointSet)) *model.Mesh {
		out := *m
		out.Services = slices.Clone(m.Services)
		changed := model.EndpointSet{Endpoints: slices.Clone(m.Services[i].Endpoints[0].Endpoints), Beyond: slices.Clone(m.Services[i].Endpoints[0].Beyond)}
		change(&changed)
		out.Services[i].Endpoints = []*model.EndpointSet{&changed}
		return &out
	}
	policies := func(m *model.Mesh, list ...*model.DestinationPolicy) *model.Mesh {
		out := *m
		out.Policies = list
		return &out
	}
	gateway := m.Services[4].Endpoints[0].Endpoints[3]
	m = set(m, 2, func(s *model.EndpointSet) {
		for i := range s.Endpoints {
			s.Endpoints[i].Labels = model.Labels(fmt.Sprint("version=v", 1+i%2))
		}
	})
	m = set(m, 4, func(s *model.EndpointSet) {
		s.Beyond = []model.BeyondSubset{
			{Name: "v1", Labels: "version=v1", Members: []model.ClusterID{"east"}, Endpoints: []model.Endpoint{gateway}},
			{Name: "v2", Labels: "version=v2", Members: []model.ClusterID{"east"}},
		}
	})
	m = policies(m, of(exported, "v1", "v2"), of(imported, "v1", "v2"))
	sni := func(subset string) string { return envoy.SubsetSNI(80, subset, exported.Hostname) }
	out := func(svc *model.Service, subset string) string { return envoy.OutboundSubset(80, subset, svc.Hostname) }
	for name, c := range map[string]struct {
		to   *model.Mesh
		want []string
	}{
		"Nothing":            {policies(m, m.Policies...), nil},
		"EndpointOfExported": {set(m, 2, func(s *model.EndpointSet) { s.Endpoints = s.Endpoints[1:] }), []string{envoy.SNI(80, exported.Hostname), sni("v1"), out(exported, ""), out(exported, "v1")}},
		"WeightOfSubset": {set(m, 4, func(s *model.EndpointSet) {
			g := gateway
			g.Weight = 9
			s.Beyond[0].Endpoints = []model.Endpoint{g}
		}), []string{out(imported, "v1")}},
		"SubsetGetsEndpoints": {set(m, 4, func(s *model.EndpointSet) { s.Beyond[1].Endpoints = []model.Endpoint{gateway} }), []string{out(imported, "v2")}},
		"AnotherMember": {set(m, 4, func(s *model.EndpointSet) {
			g := gateway
			g.Address, g.Cluster, g.Network = "192.0.2.2", "south", "south"
			s.Endpoints = append(s.Endpoints, g)
			s.Beyond = []model.BeyondSubset{
				{Name: "v1", Labels: "version=v1", Members: []model.ClusterID{"east", "south"}, Endpoints: []model.Endpoint{gateway, g}},
				{Name: "v2", Labels: "version=v2", Members: []model.ClusterID{"east", "south"}},
			}
		}), []string{out(imported, ""), out(imported, "v1")}},
		"SubsetOfExported": {policies(m, of(exported, "v1", "v2", "v3"), m.Policies[1]), []string{"0.0.0.0_15443", sni("v3"), out(exported, "v3")}},
		"SubsetGoes":       {policies(m, of(exported, "v1"), m.Policies[1]), []string{"-" + out(exported, "v2"), "-" + sni("v2"), "0.0.0.0_15443"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := snapshot.Build(m, nil)
			for _, p := range everybody(m) {
				before.View(p)
			}
			after := snapshot.Build(c.to, before)
			slices.Sort(c.want)
			if d := cmp.Diff(c.want, differences(t, m, before, after)); d != "" {
				t.Errorf("other resources than these are new (-want +got):\n%s", d)
			}
			sameBytes(t, c.to, after, snapshot.Build(c.to, nil))
			if len(after.Problems()) > 0 {
				t.Error(after.Problems())
			}
		})
	}
}
