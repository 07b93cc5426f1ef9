// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// TestFarewell: a pod refuses callers when it is deleted and others of its own
// member are there for every port that it serves, and never else.
func TestFarewell(t *testing.T) {
	own := model.Endpoint{Workload: "shop/a", Cluster: "west", Draining: true}
	other := model.Endpoint{Workload: "shop/b", Cluster: "west"}
	ending, away := other, other
	ending.Draining, away.Cluster = true, "east"
	cases := map[string]struct {
		change    func(*model.Workload)
		endpoints [2][]model.Endpoint
		want      bool
	}{
		"OthersServe":        {endpoints: [2][]model.Endpoint{{own, other}, {other}}, want: true},
		"NotDeleted":         {change: func(w *model.Workload) { w.Terminating = false }, endpoints: [2][]model.Endpoint{{own, other}, {other}}},
		"WithoutSidecar":     {change: func(w *model.Workload) { w.Meshed = false }, endpoints: [2][]model.Endpoint{{own, other}, {other}}},
		"WithoutServices":    {change: func(w *model.Workload) { w.Inbound = nil }, endpoints: [2][]model.Endpoint{{own, other}, {other}}},
		"ServiceGone":        {change: func(w *model.Workload) { w.Inbound[0].Service = "x.shop.svc.cluster.local" }, endpoints: [2][]model.Endpoint{{own, other}, {other}}},
		"OtherNamespace":     {change: func(w *model.Workload) { w.Namespace = "bank" }, endpoints: [2][]model.Endpoint{{own, other}, {other}}},
		"Alone":              {endpoints: [2][]model.Endpoint{{own}, {own}}},
		"AloneOnOnePort":     {endpoints: [2][]model.Endpoint{{own, other}, {own}}},
		"OthersEndToo":       {endpoints: [2][]model.Endpoint{{own, ending}, {other}}},
		"OthersAreElsewhere": {endpoints: [2][]model.Endpoint{{own, away}, {other}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			const host = "reviews.shop.svc.cluster.local"
			m := &model.Mesh{Settings: &model.Settings{Cluster: "west"}, Services: []model.ServiceState{{
				Service:   &model.Service{Hostname: host, Namespace: "shop", Ports: []model.Port{{Number: 80}, {Number: 90}}},
				Endpoints: []*model.EndpointSet{{Endpoints: c.endpoints[0]}, {Endpoints: c.endpoints[1]}},
			}}}
			w := &model.Workload{
				Name: "a", Namespace: "shop", Meshed: true, Terminating: true,
				Inbound: []model.InboundPort{{Port: 8080, Service: host, ServicePort: 80}, {Port: 9090, Service: host, ServicePort: 90}},
			}
			if c.change != nil {
				c.change(w)
			}
			got, err := sidecar.Farewell(m, w)
			if err != nil || (got != nil) != c.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
