// SPDX-License-Identifier: Apache-2.0

package eastwest

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// reports come this often from a gateway's Envoy: it is what a verdict is late
// by at most.
const reports = 500 * time.Millisecond

// Checks that a gateway's Envoy is asked to make: of each gateway of the members
// on other networks that has an address, whether a TLS session to it comes about
// and a request in it is answered. The other end must show a certificate of its
// member's control plane's namespace, so that an address that has come to
// another member isn't taken for the gateway. Only what the hub says is a
// gateway is ever connected to. Without GatewayChecks there is nothing to check.
func Checks(m *model.Mesh) *healthv3.HealthCheckSpecifier {
	out := &healthv3.HealthCheckSpecifier{Interval: durationpb.New(reports)}
	c := m.Settings.GatewayChecks
	if c == nil {
		return out
	}
	for _, r := range m.Remotes {
		var endpoints []*endpointv3.Endpoint
		for _, g := range Checked(r) {
			endpoints = append(endpoints, &endpointv3.Endpoint{Address: envoy.Address(g.Address, g.Port)})
		}
		if len(endpoints) == 0 {
			continue
		}
		out.ClusterHealthChecks = append(out.ClusterHealthChecks, &healthv3.ClusterHealthCheck{
			ClusterName:       string(r.Cluster),
			HealthChecks:      []*corev3.HealthCheck{check(c)},
			LocalityEndpoints: []*healthv3.LocalityEndpoints{{Endpoints: endpoints}},
			TransportSocketMatches: []*clusterv3.Cluster_TransportSocketMatch{{
				Name:            envoy.TLSSocket,
				TransportSocket: envoy.AccountTLS(m.Settings.MeshTLS, CheckName, r.TrustDomain, m.Settings.RootNamespace),
			}},
		})
	}
	return out
}

// Checked are the gateways of a member that can be checked: Envoy looks up no
// names for checks, so those that have only a name are left to the callers' own
// observation.
func Checked(r *model.Remote) []model.GatewayAddress {
	var out []model.GatewayAddress
	for _, g := range r.Gateways {
		if _, err := netip.ParseAddr(g.Address); err == nil {
			out = append(out, g)
		}
	}
	return out
}

// check begins again Interval less Timeout after the end of the last one: so
// one that fails by its timeout takes an Interval in all.
func check(c *model.GatewayChecks) *corev3.HealthCheck {
	pause := envoy.Milliseconds(max(1, c.IntervalMillis-c.TimeoutMillis))
	return &corev3.HealthCheck{
		Timeout: envoy.Milliseconds(c.TimeoutMillis), Interval: pause,
		// There is never other traffic in what checks are made for.
		NoTrafficInterval: pause, NoTrafficHealthyInterval: pause,
		// Not all at once when the control plane comes up.
		InitialJitter:      pause,
		UnhealthyThreshold: wrapperspb.UInt32(c.UnhealthyThreshold),
		HealthyThreshold:   wrapperspb.UInt32(c.HealthyThreshold),
		// What counts is that new connections come about.
		ReuseConnection: wrapperspb.Bool(false),
		HealthChecker: &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &corev3.HealthCheck_HttpHealthCheck{
			Host: CheckName, Path: checkPath,
		}},
	}
}
