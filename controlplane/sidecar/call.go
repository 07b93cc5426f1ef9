// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
)

// Call is how the callers of one class call a service.
type Call struct {
	Settings *model.Settings
	Service  *model.Service
	// Policy on the service; nil for none.
	Policy *model.DestinationPolicy
	// Routings by which calls to the service are routed; none sends them to the service.
	Routings []*model.Routing
	// Holder of what is shown to servers that want a certificate.
	Holder Holder
	// Namespace and Labels of the caller.
	Namespace string
	Labels    model.Labels
	// Closed: server names that routings know nothing of lead nowhere (REGISTRY_ONLY).
	Closed bool
	// Lookup: some of it goes to the host that a request names (resolution ByHost).
	Lookup bool
	// ByAddress: who calls the service's address means it, whatever host the
	// request names (Gateway API for meshes).
	ByAddress bool
	// Cluster of a destination of the routings, when called on a port.
	Cluster func(d model.Destination, called uint16) (routing.Cluster, bool)
}

// Holder is a caller that may have credentials out of Secrets: a gateway, or a
// sidecar that a policy selects. The zero value has none.
type Holder struct {
	Namespace string
	Gateway   bool
	// ClientCertificate that a gateway shows when no policy names one.
	ClientCertificate model.CredentialRef
}

// HTTPByAddress is true for a port whose HTTP is told by the service's address
// even though it shares a listener with others.
func (c Call) HTTPByAddress(port int) bool {
	p := c.Service.Ports[port]
	return c.ByAddress && p.Protocol.IsHTTP() && SharesPort(c.Service, p) && len(c.Service.Addresses) > 0
}

// targets of one port: the whole service, then each subset.
func (c Call) targets(port int) []destination.Target {
	p := c.Service.Ports[port]
	whole := destination.Target{
		Settings: c.Settings, Service: c.Service, Port: port, Policy: c.Policy,
		SNI:       envoy.SNI(p.Number, c.Service.Hostname),
		Namespace: c.Holder.Namespace, Gateway: c.Holder.Gateway,
	}
	if c.Holder.ClientCertificate.Name != "" {
		whole.ClientCertificate = &c.Holder.ClientCertificate
	}
	out := []destination.Target{whole}
	if c.Policy == nil {
		return out
	}
	for i := range c.Policy.Subsets {
		t := whole
		t.Subset = c.Policy.Subsets[i].Name
		if !c.Policy.Subsets[i].Labels.ByMember() {
			// By members alone it has all that is behind a gateway: the whole.
			t.SNI = envoy.SubsetSNI(p.Number, t.Subset, c.Service.Hostname)
		}
		out = append(out, t)
	}
	return out
}

func (c Call) context(port uint16) routing.Context {
	return routing.Context{
		Settings: c.Settings, Port: port, At: model.Sidecars, Namespace: c.Namespace, Labels: c.Labels,
		Cluster: func(d model.Destination) (routing.Cluster, bool) {
			if c.Cluster == nil {
				return routing.Cluster{}, false
			}
			return c.Cluster(d, port)
		},
	}
}

// Routes that the routings make of requests on a port of the service; none
// leaves requests to the service itself.
func (c Call) Routes(port uint16) ([]*routev3.Route, []model.Problem) {
	if len(c.Routings) == 0 {
		return nil, nil
	}
	return routing.HTTP(c.context(port), c.Routings)
}

// chains that the routings make of connections on a port: by server name, then
// by address; none leaves connections to the service itself.
func (c Call) chains(port uint16) ([]*listenerv3.FilterChain, []model.Problem) {
	if len(c.Routings) == 0 {
		return nil, nil
	}
	out, problems := routing.TLS(c.context(port), c.Routings)
	if c.speaksTLS(port) {
		// Rules for TCP are for opaque ports (VirtualService.tcp), as in Istio.
		return out, problems
	}
	tcp, more := routing.TCP(c.context(port), c.Routings)
	return append(out, tcp...), append(problems, more...)
}

// speaksTLS is true for a port of the service whose protocol is TLS or HTTPS; a
// host that no service has has no ports.
func (c Call) speaksTLS(port uint16) bool {
	return c.Service != nil && slices.ContainsFunc(c.Service.Ports, func(p model.Port) bool { return p.Number == port && p.Protocol == model.TLS })
}

// hash policies of the service itself, for requests that no routing routes.
func (c Call) hash(port int) []*routev3.RouteAction_HashPolicy {
	if c.Policy == nil {
		return nil
	}
	return destination.HashPolicies(c.Policy.Policy.On(c.Service.Ports[port].Number).Balancer)
}
