// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/ratelimit"
	"github.com/isthmesh/isthmesh/controlplane/scope"
	"github.com/isthmesh/isthmesh/gateways/northsouth"
)

// The labels by which a pod says which Gateway of the Gateway API it serves.
const (
	labelGatewayName  = policy.LabelGatewayName
	labelGatewayClass = policy.LabelGatewayClass
)

// frontKey tells north-south gateways apart that see different things. Replicas
// have one key.
type frontKey struct {
	namespace         string
	labels            model.Labels
	known, ipv4, ipv6 bool
	ports             string
	topology          model.Topology
}

// front is what the replicas of one north-south gateway see.
type front struct {
	in  frontInputs
	out *northsouth.Output
	// class that callers like it are of.
	class *class

	listeners, routes, secrets, clusters layer
	// endpoints, and clusters with endpoints in them, by where the proxy is.
	endpoints, resolved *places
}

// frontInputs are what its translation depends on, beside its key.
type frontInputs struct {
	basis       scope.Basis
	gateways    []*model.Gateway
	credentials []*model.Credential
	exported    []string
	policies    *policy.Chosen
	// asked are the clusters of the services that count for rate limits.
	asked []string
}

func (a frontInputs) equal(b frontInputs) bool {
	return a.basis == b.basis && a.policies == b.policies && slices.Equal(a.gateways, b.gateways) &&
		slices.Equal(a.credentials, b.credentials) && slices.Equal(a.exported, b.exported) && slices.Equal(a.asked, b.asked)
}

// places are endpoints by the locality from which they are seen.
type places struct {
	mu sync.Mutex
	of map[model.Locality]layer
}

// northSouth is what an ingress or egress gateway sees.
func (s *Snapshot) northSouth(p *model.Proxy) *envoy.View {
	in := northsouth.ProxyOf(s.mesh.Settings, p)
	key := frontKey{in.Namespace, in.Labels, in.Known, in.IPv4, in.IPv6, portsKey(in.Ports), in.Topology}
	f := s.fronts.class(key).get(func(earlier *front) *front { return s.front(in, p.Labels, earlier) })
	if len(f.out.Listeners) == 0 {
		// No gateway is for it.
		return &envoy.View{}
	}
	return &envoy.View{Types: map[string]envoy.Layers{
		envoy.ClusterType:  {Own: s.frontResolved(f, s.locality(p))},
		envoy.EndpointType: {Own: s.frontEndpoints(f, s.locality(p))},
		envoy.ListenerType: {Own: f.listeners.layer},
		envoy.RouteType:    {Own: f.routes.layer},
		envoy.SecretType:   {Own: f.secrets.layer},

		envoy.ExtensionType: {Shared: policy.Discovered(s.mesh.Settings, f.in.policies).Configs},
	}}
}

func portsKey(ports []model.InboundPort) string {
	var b strings.Builder
	for _, p := range ports {
		fmt.Fprintf(&b, "%d:%d ", p.ServicePort, p.Port)
	}
	return b.String()
}

func (s *Snapshot) front(p northsouth.Proxy, labels map[string]string, earlier *front) *front {
	if earlier == nil {
		earlier = &front{endpoints: &places{}, resolved: &places{}}
	}
	guarded := s.guards.guarded(policy.Guarded{
		Namespace: p.Namespace, Labels: labels, Gateway: labels[labelGatewayName], Class: labels[labelGatewayClass],
	})
	f := &front{
		in: frontInputs{
			basis: s.scope.Basis(), gateways: s.mesh.Gateways, credentials: s.mesh.Credentials, exported: s.gateway.names,
			policies: policy.Choose(s.mesh, guarded, earlier.in.policies),
			asked:    ratelimit.Asked(ratelimit.Choose(s.mesh, guarded, nil)),
		},
		endpoints: earlier.endpoints.next(),
		resolved:  earlier.resolved.next(),
	}
	key, caller := s.scope.Class(scope.Caller{
		Namespace: p.Namespace, Labels: p.Labels, Gateway: true, ClientCertificate: clientCertificate(s.mesh.Gateways, p),
	})
	f.class = s.classAt(key, caller)
	f.out = earlier.out
	if f.out == nil || !f.in.equal(earlier.in) {
		f.out = northsouth.Translate(northsouth.Input{
			Mesh: s.mesh, Scope: s.scope, Proxy: p, Cluster: s.clusterOf(f.class),
			Exported: f.in.exported, Policies: f.in.policies, Asked: f.in.asked,
		})
	}
	f.listeners = earlier.listeners.renew(slices.Concat(f.out.Listeners, f.innerListeners()))
	f.routes = earlier.routes.renew(f.out.Routes)
	secrets := slices.Concat(f.out.Secrets, f.class.secrets.files.of)
	if p.Known {
		secrets = append(secrets, f.class.secrets.keys.of...)
	}
	f.secrets = earlier.secrets.renew(secrets)
	f.clusters = earlier.clusters.over(s.frontClusters(f, earlier.clusters))
	return f
}

// clientCertificate that a proxy shows to backends, as the oldest gateway says
// that it serves.
func clientCertificate(gateways []*model.Gateway, p northsouth.Proxy) model.CredentialRef {
	for _, g := range gateways {
		if g.ClientCertificate != nil && p.SelectedBy(g) {
			return *g.ClientCertificate
		}
	}
	return model.CredentialRef{}
}

// renew makes a layer of resources that were translated anew: those that say
// what they said before stay.
func (earlier layer) renew(resources []*envoy.Resource) layer {
	kept := make([]*envoy.Resource, len(resources))
	for i, r := range resources {
		kept[i] = keep(earlier.layer.Get(r.Name), r)
	}
	return earlier.over(kept)
}

// calledBy a gateway are the clusters that its routes lead to, and those that it
// sends access logs to.
func (s *Snapshot) calledBy(f *front) []string {
	out := slices.Clone(f.out.Clusters)
	for _, name := range envoy.LogClusters(s.mesh.Settings) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// frontClusters are the clusters that it calls, and none of the others.
func (s *Snapshot) frontClusters(f *front, earlier layer) []*envoy.Resource {
	names := append([]string{envoy.BlackHoleCluster}, s.calledBy(f)...)
	for _, n := range f.class.namedEndpoints() {
		names = append(names, envoy.Named(n.host, n.port))
	}
	var out []*envoy.Resource
	for _, d := range f.out.Datagrams {
		r, err := d.Resource(s.mesh.Settings)
		if err == nil {
			out = append(out, keep(earlier.layer.Get(r.Name), r))
		}
	}
	for _, name := range names {
		r := f.class.clusters.layer.Get(name)
		if r == nil {
			r = s.gateway.clusters.layer.Get(name)
		}
		if r != nil {
			out = append(out, r)
		}
	}
	return out
}

// innerListeners lead to endpoints that have a DNS name and no address.
func (f *front) innerListeners() []*envoy.Resource {
	var out []*envoy.Resource
	for _, n := range f.class.namedEndpoints() {
		if r := f.class.listeners.layer.Get(envoy.Named(n.host, n.port)); r != nil {
			out = append(out, r)
		}
	}
	return out
}

// frontEndpoints are those of its clusters, as they are seen from a locality.
func (s *Snapshot) frontEndpoints(f *front, at model.Locality) *envoy.Layer {
	seen := s.endpointClass(f.class, at).endpoints.layer
	var out []*envoy.Resource
	for _, name := range s.calledBy(f) {
		r := seen.Get(name)
		if r == nil {
			r = s.gateway.endpoints.layer.Get(name)
		}
		if r != nil {
			out = append(out, r)
		}
	}
	f.endpoints.mu.Lock()
	defer f.endpoints.mu.Unlock()
	for _, d := range f.out.Datagrams {
		r, err := d.Endpoints(func(h model.Hostname) (model.ServiceState, bool) { return s.scope.Service(f.class.caller, h) })
		if err == nil {
			out = append(out, keep(f.endpoints.of[at].layer.Get(r.Name), r))
		}
	}
	l := f.endpoints.of[at].over(out)
	f.endpoints.of[at] = l
	return l.layer
}

// frontResolved are its clusters, as they are seen from a locality.
func (s *Snapshot) frontResolved(f *front, at model.Locality) *envoy.Layer {
	seen := s.endpointClass(f.class, at)
	if len(seen.byName) == 0 {
		return f.clusters.layer
	}
	out := make([]*envoy.Resource, len(f.clusters.of))
	for i, r := range f.clusters.of {
		out[i] = seen.cluster(r)
	}
	f.resolved.mu.Lock()
	defer f.resolved.mu.Unlock()
	l := f.resolved.of[at].over(out)
	f.resolved.of[at] = l
	return l.layer
}

func (p *places) next() *places {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &places{of: make(map[model.Locality]layer, len(p.of))}
	for at, l := range p.of {
		out.of[at] = l
	}
	return out
}

// podsOfGateways are the pods that some gateway selects, by labels that it names.
func (s *Snapshot) podsOfGateways(prev *Snapshot) []*model.Workload {
	if prev.gatewayPods != nil && slices.Equal(s.mesh.Gateways, prev.mesh.Gateways) && slices.Equal(s.mesh.Workloads, prev.mesh.Workloads) {
		return prev.gatewayPods
	}
	type selector struct {
		namespace string
		labels    model.Labels
	}
	selectors := map[selector]*model.Gateway{}
	for _, g := range s.mesh.Gateways {
		if g.Selector != "" {
			selectors[selector{g.SelectorNamespace, g.Selector}] = g
		}
	}
	out := []*model.Workload{}
	if len(selectors) == 0 {
		return out
	}
	for _, w := range s.mesh.Workloads {
		for _, g := range selectors {
			if selects(g, w) {
				out = append(out, w)
				break
			}
		}
	}
	return out
}
