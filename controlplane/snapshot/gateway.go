// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
	"github.com/isthmesh/isthmesh/gateways/eastwest"
)

// gateway is what all east-west gateways of the member see.
type gateway struct {
	// names that are passed on, sorted.
	names                          []string
	clusters, listeners, endpoints layer
}

func (s *Snapshot) gatewayLayers(prev *Snapshot) {
	settings, before := s.mesh.Settings, prev.gateway
	nowhere := before.clusters.layer.Get(envoy.BlackHoleCluster)
	if nowhere == nil {
		r, err := sidecar.BlackHole(settings)
		s.reportShared(err)
		nowhere = r
	}
	clusters := []*envoy.Resource{nowhere}
	var endpoints []*envoy.Resource
	var names []string
	for _, e := range s.entries {
		clusters = append(clusters, e.gateway...)
		for _, c := range e.gateway {
			names = append(names, c.Name)
		}
		for _, p := range e.ports {
			if p.gateway != nil {
				endpoints = append(endpoints, p.gateway)
			}
		}
	}
	slices.SortFunc(names, strings.Compare)
	s.gateway = gateway{
		names:     names,
		clusters:  s.layer(before.clusters, clusters),
		listeners: before.listeners,
		endpoints: s.layer(before.endpoints, endpoints),
	}
	if before.listeners.layer == nil || !slices.Equal(names, before.names) {
		r, err := eastwest.Listener(settings, names)
		s.reportShared(err)
		s.gateway.listeners = s.layer(before.listeners, []*envoy.Resource{r})
	}
}

func (g gateway) view() *envoy.View {
	return &envoy.View{Types: map[string]envoy.Layers{
		envoy.ClusterType:  {Shared: g.clusters.layer},
		envoy.EndpointType: {Shared: g.endpoints.layer},
		envoy.ListenerType: {Shared: g.listeners.layer},
	}}
}
