// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/scope"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
	"github.com/isthmesh/isthmesh/gateways/eastwest"
)

// gateway is what all east-west gateways of the member see.
type gateway struct {
	// made of these passages, whoever may see the services.
	made map[eastwest.Passage]passed
	// names that are passed on, sorted.
	names                          []string
	clusters, listeners, endpoints layer
}

type passed struct {
	set               *model.EndpointSet
	cluster, endpoint *envoy.Resource
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
	made := make(map[eastwest.Passage]passed, len(before.made))
	pass := func(k eastwest.Passage, set *model.EndpointSet) {
		p := s.passed(k, set, before)
		made[k] = p
		if p.cluster != nil {
			clusters, names = append(clusters, p.cluster), append(names, p.cluster.Name)
		}
		endpoints = append(endpoints, p.endpoint)
	}
	offered, problems := scope.Offered(s.mesh)
	s.problems = append(s.problems, problems...)
	for _, st := range s.mesh.Services {
		if !eastwest.Serves(st.Service) {
			continue
		}
		for i, set := range st.Endpoints {
			pass(eastwest.Passage{Service: st.Service, Port: i}, set)
			for _, subset := range offered[st.Service] {
				pass(eastwest.Passage{Service: st.Service, Port: i, Subset: subset.Name, Labels: subset.Labels}, set)
			}
		}
	}
	slices.SortFunc(names, strings.Compare)
	names = slices.Compact(names)
	s.gateway = gateway{
		made:      made,
		names:     names,
		clusters:  s.layer(layer{}, before.clusters, clusters),
		listeners: before.listeners,
		endpoints: s.layer(layer{}, before.endpoints, endpoints),
	}
	if before.listeners.layer == nil || !slices.Equal(names, before.names) {
		r, err := eastwest.Listener(settings, names, policy.None)
		s.reportShared(err)
		s.gateway.listeners = s.layer(layer{}, before.listeners, []*envoy.Resource{r})
	}
}

func (s *Snapshot) passed(k eastwest.Passage, set *model.EndpointSet, before gateway) passed {
	old, ok := before.made[k]
	if ok && old.set == set {
		return old
	}
	name := k.Name()
	out := passed{set: set, cluster: old.cluster}
	if !ok {
		r, err := k.Cluster(s.mesh.Settings)
		s.reportShared(err)
		out.cluster = keep(before.clusters.layer.Get(name), r)
	}
	r, err := k.Endpoints(s.mesh.Settings, set)
	s.reportShared(err)
	out.endpoint = keep(before.endpoints.layer.Get(name), r)
	return out
}

func (g gateway) view() *envoy.View {
	return &envoy.View{Types: map[string]envoy.Layers{
		envoy.ClusterType:  {Shared: g.clusters.layer},
		envoy.EndpointType: {Shared: g.endpoints.layer},
		envoy.ListenerType: {Shared: g.listeners.layer},
	}}
}

// eastWest is what one east-west gateway sees. They all see the same, unless a
// policy selects some of them.
func (s *Snapshot) eastWest(p *model.Proxy) *envoy.View {
	v := s.gateway.view()
	guarded := policy.Guarded{Namespace: p.Namespace, Labels: p.Labels}
	if p.Workload != nil {
		guarded = guardedBy(p.Workload)
	}
	guarded.Gateway, guarded.Class = guarded.Labels[labelGatewayName], guarded.Labels[labelGatewayClass]
	chosen := policy.Choose(s.mesh, s.guards.guarded(guarded), nil)
	if chosen.Empty() {
		return v
	}
	r, err := eastwest.Listener(s.mesh.Settings, s.gateway.names, chosen)
	if err != nil {
		// Rather no listener than one without its policies.
		v.Types[envoy.ListenerType] = envoy.Layers{}
		return v
	}
	l, _ := envoy.NewLayer([]*envoy.Resource{r})
	v.Types[envoy.ListenerType] = envoy.Layers{Own: l}
	v.Types[envoy.ExtensionType] = envoy.Layers{Shared: policy.Discovered(s.mesh.Settings, chosen).Configs}
	if names := chosen.Authorizers(s.mesh.Settings); len(names) > 0 {
		s.addAuthorizers(v, p, names)
	}
	return v
}

// addAuthorizers that policies at an east-west gateway ask, as the proxy's own
// namespace sees them.
func (s *Snapshot) addAuthorizers(v *envoy.View, p *model.Proxy, names []string) {
	key, caller := s.scope.Class(scope.Caller{Namespace: p.Namespace, Labels: model.LabelsOf(p.Labels), Gateway: true})
	c := s.classAt(key, caller)
	seen := s.endpointClass(c, s.locality(p)).endpoints.layer
	var clusters, endpoints []*envoy.Resource
	for _, name := range names {
		if r := c.clusters.layer.Get(name); r != nil {
			clusters = append(clusters, r)
		}
		if r := seen.Get(name); r != nil {
			endpoints = append(endpoints, r)
		}
	}
	own, _ := envoy.NewLayer(clusters)
	v.Types[envoy.ClusterType] = envoy.Layers{Shared: s.gateway.clusters.layer, Own: own}
	own, _ = envoy.NewLayer(endpoints)
	v.Types[envoy.EndpointType] = envoy.Layers{Shared: s.gateway.endpoints.layer, Own: own}
}
