// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/generate"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/pipeline/scenario"
)

// trafficked is how many random meshes with rules and policies are given to a real Envoy.
const trafficked = 150

// TestEnvoyTakesAllTraffic gives random meshes whose services have random rules
// and policies, one after the other, to a running sidecar: it may not refuse a
// resource, and all clusters and listeners must get warm.
func TestEnvoyTakesAllTraffic(t *testing.T) {
	fabric := rig.New(t)
	root := rig.NewRoot(t)
	leaf := root.Leaf("spiffe://here.example/ns/shop/sa/default")
	sidecar := fabric.Pod("shop", "pod-0", "10.244.0.1").Envoy(rig.Options{
		Type: "sidecar", Identity: "spiffe://here.example/ns/shop/sa/default", Leaf: &leaf,
	})
	var s *snapshot.Snapshot
	rules, policies := 0, 0
	for seed := range trafficked {
		m := scenario.Random().Example(seed)
		for i, service := range m.Services {
			if i%2 == 0 {
				m.Routings = append(m.Routings, ruled(m, service.Service, seed*100+i))
				rules++
			}
			if i%3 != 0 {
				m.Policies = append(m.Policies, governed(service.Service, seed*100+i))
				policies++
			}
		}
		s = snapshot.Build(m, s)
		if err := sidecar.Try(s); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if rules < trafficked || policies < trafficked {
		t.Errorf("only %d routings and %d policies in %d meshes", rules, policies, trafficked)
	}
}

// ruled is a routing for a service, most of whose destinations are services.
func ruled(m *model.Mesh, svc *model.Service, seed int) *model.Routing {
	r := generate.Routing().Example(seed)
	r.Hosts = []string{string(svc.Hostname)}
	known := func(list []model.Destination) {
		for i := range list {
			if i != 2 {
				list[i].Host, list[i].Port = m.Services[(seed+i)%len(m.Services)].Service.Hostname, 0
			}
		}
	}
	for i := range r.HTTP {
		known(r.HTTP[i].Destinations)
		for j := range r.HTTP[i].Mirrors {
			r.HTTP[i].Mirrors[j].Destination.Host = svc.Hostname
		}
	}
	for i := range r.TLS {
		known(r.TLS[i].Destinations)
	}
	for i := range r.TCP {
		known(r.TCP[i].Destinations)
	}
	return r
}

// governed is a policy on a service. It names no files and no Secrets: there are
// none here, and Envoy would wait for them.
func governed(svc *model.Service, seed int) *model.DestinationPolicy {
	p := generate.Policy(nil).Example(seed)
	p.Host, p.Selector = string(svc.Hostname), ""
	clean := func(c *model.ClientTLS) {
		if c != nil {
			c.CertificateFile, c.KeyFile, c.CAFile, c.CRLFile, c.Credential = "", "", "", "", nil
		}
	}
	// The largest rings take a proxy a minute to build.
	small := func(b *model.Balancer) {
		if b != nil {
			b.MinimumRing, b.Table = min(b.MinimumRing, 1024), min(b.Table, 65537)
		}
	}
	traffic := func(t *model.TrafficPolicy) {
		clean(t.TLS)
		small(t.Balancer)
		for i := range t.Ports {
			clean(t.Ports[i].TLS)
			small(t.Ports[i].Balancer)
		}
	}
	traffic(&p.Policy)
	for i := range p.Subsets {
		traffic(&p.Subsets[i].Policy)
	}
	return p
}
