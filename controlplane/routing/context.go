// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Context is where rules are to hold: at one port of one kind of caller.
type Context struct {
	Settings *model.Settings
	// Port that was called.
	Port uint16
	// TLS: requests on this port came over TLS that the proxy ended, so their scheme is https.
	TLS bool
	// At is model.Sidecars, or a gateway's listener.
	At model.GatewayRef
	// Namespace and Labels of the caller.
	Namespace string
	Labels    model.Labels
	// Cluster names the Envoy cluster of a destination; ok is false when nothing
	// of that name is known. A destination without a port means the port of its
	// service that was called, else the only one.
	Cluster func(d model.Destination) (c Cluster, ok bool)
}

// Cluster is where a destination's requests go.
type Cluster struct {
	Name string
	// Hash is what the cluster's balancer hashes; see destination.HashPolicies.
	Hash []*routev3.RouteAction_HashPolicy
	// AuthorityRewrite is the host that the upstream is asked for instead of the
	// request's, when the rule itself says none; empty keeps the request's.
	AuthorityRewrite string
	// AutoHostRewrite asks the upstream for the name by which DNS found it, when
	// the rule itself says none.
	AutoHostRewrite bool
	// ForeignTLS: the upstream speaks TLS that is not the mesh's, so it must not
	// be offered what envoy.OfferHTTP offers; see destination.ForeignTLS.
	ForeignTLS bool
	// Stream is how connections to the cluster are proxied (TLS and TCP rules).
	Stream destination.Stream
}

// bound are the routings of one host that hold for the caller. A consumer's
// own routes stand in place of those of the service's owner.
func (c Context) bound(routings []*model.Routing) []*model.Routing {
	var out []*model.Routing
	consumer := false
	for _, r := range routings {
		if r.ConsumerNamespace != "" && r.ConsumerNamespace != c.Namespace || r.ParentPort != 0 && r.ParentPort != c.Port {
			continue
		}
		consumer = consumer || r.ConsumerNamespace != ""
		out = append(out, r)
	}
	if consumer {
		out = slices.DeleteFunc(out, func(r *model.Routing) bool { return r.BySpecificity && r.ConsumerNamespace == "" })
	}
	return out
}

// holds is true when a match for these callers, on this port, holds here.
func (c Context) holds(from model.Callers, port uint16) bool {
	if port != 0 && port != c.Port || from.Namespace != "" && from.Namespace != c.Namespace || !c.Labels.Contain(from.Labels) {
		return false
	}
	return from.Gateways == nil || slices.ContainsFunc(from.Gateways, func(g model.GatewayRef) bool {
		return g.Namespace == c.At.Namespace && g.Name == c.At.Name && (g.Listener == "" || c.At.Listener == "" || g.Listener == c.At.Listener)
	})
}

// port of a destination, as its name is written when nobody knows the service.
func (c Context) port(d model.Destination) uint16 {
	if d.Port != 0 {
		return d.Port
	}
	return c.Port
}
