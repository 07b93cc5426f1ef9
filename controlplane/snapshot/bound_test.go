// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestBoundListenersLeaveTheProxysPorts: Envoy refuses a listener of an address
// that its own has.
func TestBoundListenersLeaveTheProxysPorts(t *testing.T) {
	all := []model.ListenerHost{{Namespace: "*", Host: "*"}}
	m := guardedMesh()
	m.Scopes = []*model.Scope{{Origin: model.Origin{Kind: "Sidecar", Namespace: "shop", Name: "s"}, Egress: []model.Egress{
		{Port: 15090, Protocol: model.HTTP, Bind: "0.0.0.0", NoCapture: true, Hosts: all}, {Port: 7000, Protocol: model.HTTP, Bind: "0.0.0.0", NoCapture: true, Hosts: all},
	}}}
	s := snapshot.Build(m, nil)
	v := viewOf(s, m, "shop", "a")
	if v.Get(envoy.ListenerType, "bound_0.0.0.0_15090") != nil || v.Get(envoy.ListenerType, "bound_0.0.0.0_7000") == nil {
		t.Error("the wrong listeners are there")
	}
	if !slices.ContainsFunc(s.Problems(), func(p model.Problem) bool {
		return p.Reason == "ReservedPort" && p.Field == "spec.egress" && p.Name == "s"
	}) {
		t.Errorf("it isn't told: %v", s.Problems())
	}
}

// TestBoundListenersComeFirst: Envoy takes one listener of an address. What a Scope says of one goes
// before what follows from services, and what is lost is told.
func TestBoundListenersComeFirst(t *testing.T) {
	all := []model.ListenerHost{{Namespace: "*", Host: "*"}}
	for name, c := range map[string]struct {
		egress model.Egress
		// has and lacks are listeners.
		has, lacks, told string
	}{
		"EveryAddress":         {model.Egress{Port: 80, Protocol: model.TLS, Bind: "0.0.0.0", NoCapture: true, Hosts: all}, "bound_0.0.0.0_80", "0.0.0.0_80", "egress[0] has 0.0.0.0_80"},
		"EveryAddressCaptured": {model.Egress{Port: 80, Protocol: model.TLS, Bind: "0.0.0.0", Hosts: all}, "0.0.0.0_80", "", "egress[0] has 0.0.0.0_80"},
		"AService":             {model.Egress{Port: 70, Protocol: model.TCP, Bind: "10.96.0.7", NoCapture: true, Hosts: all}, "bound_10.96.0.7_70", "10.96.0.7_70", "egress[0] has 10.96.0.7_70"},
		"AnotherAddress":       {model.Egress{Port: 80, Protocol: model.TLS, Bind: "127.0.0.1", NoCapture: true, Hosts: all}, "bound_127.0.0.1_80", "", ""},
		"OtherFamily":          {model.Egress{Port: 80, Protocol: model.TLS, Bind: "::", NoCapture: true, Hosts: all}, "bound_::_80", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := guardedMesh()
			m.Services = []model.ServiceState{{Service: &model.Service{
				Namespace: "shop", Name: "db", Hostname: "db.shop.svc.cluster.local", Kind: model.ClusterIP, Addresses: addresses("10.96.0.7"),
				Ports: []model.Port{{Number: 70, Protocol: model.TCP}},
			}, Endpoints: []*model.EndpointSet{{}}}}
			m.Routings = []*model.Routing{{
				Origin: model.Origin{Kind: "VirtualService", Namespace: "shop", Name: "routed"}, Hosts: []string{"c.example.org"}, Gateways: []model.GatewayRef{model.Sidecars},
				HTTP: []model.HTTPRule{{Direct: &model.DirectResponse{Status: 200}}},
			}}
			m.Scopes = []*model.Scope{{Origin: model.Origin{Kind: "Sidecar", Namespace: "shop", Name: "s"}, Egress: []model.Egress{c.egress, {Hosts: all}}}}
			s := snapshot.Build(m, nil)
			v := viewOf(s, m, "shop", "a")
			if v.Get(envoy.ListenerType, c.has) == nil || c.lacks != "" && v.Get(envoy.ListenerType, c.lacks) != nil {
				t.Errorf("the wrong listeners are there")
			}
			told := ""
			for _, p := range s.Problems() {
				if p.Reason == "Conflict" && p.Name == "s" {
					told += p.Message
				}
			}
			if (told == "") != (c.told == "") || !strings.HasPrefix(told, c.told) {
				t.Errorf("it tells %q, want %q", told, c.told)
			}
		})
	}
}
