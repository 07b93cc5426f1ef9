// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"fmt"
	"net/netip"
	"slices"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	udpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Datagrams are where a rule sends datagrams: a cluster of its own, because the
// proxy sends all that comes to a port to one cluster.
type Datagrams struct {
	Cluster string
	To      []model.Destination
}

// datagrams adds the listener of a UDP port. The oldest rule that leads
// somewhere takes all that comes: nothing in a datagram tells rules apart.
func (t *translation) datagrams(b *bind) {
	if p := t.Policies.Enforced(); p != nil {
		// No filter judges datagrams, so there is no way to let in the right ones.
		for _, a := range b.of {
			t.report(a.problem(".protocol", "PolicyNotEnforced",
				"policies don't hold for datagrams, so while %s %s/%s holds for this gateway nobody listens on UDP port %d; give UDP a gateway of its own, which no policy selects",
				p.Kind, p.Namespace, p.Name, b.port))
		}
		return
	}
	var holder *model.Routing
	for _, a := range b.of {
		for _, r := range t.routingsAt(a) {
			for i := range r.UDP {
				if holder != nil {
					t.report(r.Problem(fmt.Sprintf("spec.rules[%d]", i), "Conflict", fmt.Sprintf(
						"%s %s/%s, which is older, takes all datagrams of port %d, and nothing tells them apart; give this one another port",
						holder.Kind, holder.Namespace, holder.Name, b.port)))
					continue
				}
				d := Datagrams{Cluster: fmt.Sprintf("udp|%s/%s|%d|%d", r.Namespace, r.Name, b.port, i)}
				for _, to := range r.UDP[i].Destinations {
					if to.Invalid == "" && (to.Weight > 0 || len(r.UDP[i].Destinations) == 1) {
						d.To = append(d.To, to)
					}
				}
				if len(d.To) == 0 {
					if a.listener.Closed {
						holder = r // nobody else gets what it would take
					}
					continue
				}
				t.out.Datagrams = append(t.out.Datagrams, d)
				t.clusters[d.Cluster] = true
				l := &listenerv3.Listener{
					Name:             b.name(),
					TrafficDirection: corev3.TrafficDirection_OUTBOUND,
					UdpListenerConfig: &listenerv3.UdpListenerConfig{
						DownstreamSocketConfig: &corev3.UdpSocketConfig{},
					},
					ListenerFilters: []*listenerv3.ListenerFilter{udpProxy(d.Cluster)},
				}
				t.addresses(b, l, corev3.SocketAddress_UDP)
				t.add(&t.out.Listeners, a, l.Name, l)
				holder = r
			}
		}
	}
}

func udpProxy(cluster string) *listenerv3.ListenerFilter {
	config := &udpproxyv3.UdpProxyConfig{
		StatPrefix: cluster,
		RouteSpecifier: &udpproxyv3.UdpProxyConfig_Matcher{Matcher: &matcherv3.Matcher{
			OnNoMatch: &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{Action: &xdscorev3.TypedExtensionConfig{
				Name:        "route",
				TypedConfig: envoy.Any(&udpproxyv3.Route{Cluster: cluster}),
			}}},
		}},
	}
	return &listenerv3.ListenerFilter{
		Name:       "envoy.filters.udp_listener.udp_proxy",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: envoy.Any(config)},
	}
}

// Resource of the cluster, whose endpoints come by EDS.
func (d Datagrams) Resource(s *model.Settings) (*envoy.Resource, error) {
	timeout := s.ConnectTimeoutMillis
	if timeout <= 0 {
		timeout = 10000
	}
	return envoy.NewResource(d.Cluster, &clusterv3.Cluster{
		Name:                 d.Cluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: envoy.ADS(), ServiceName: d.Cluster},
		ConnectTimeout:       envoy.Milliseconds(timeout),
		LbPolicy:             clusterv3.Cluster_ROUND_ROBIN,
	})
}

// scale of weights: a destination's is divided among its endpoints.
const scale = 1000

// Endpoints of the cluster. service finds the service of a destination.
func (d Datagrams) Endpoints(service func(model.Hostname) (model.ServiceState, bool)) (*envoy.Resource, error) {
	group := &endpointv3.LocalityLbEndpoints{}
	for _, to := range d.To {
		st, ok := service(to.Host)
		if !ok {
			continue
		}
		i := slices.IndexFunc(st.Service.UDP, func(p model.Port) bool {
			return p.Number == to.Port || to.Port == 0 && len(st.Service.UDP) == 1
		})
		if i < 0 || i >= len(st.UDP) {
			continue
		}
		var ready []*model.Endpoint
		for j := range st.UDP[i].Endpoints {
			e := &st.UDP[i].Endpoints[j]
			if _, err := netip.ParseAddr(e.Address); err == nil && !e.Draining && !e.Gateway {
				ready = append(ready, e)
			}
		}
		for _, e := range ready {
			group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{
				HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: envoy.Address(e.Address, e.Port)}},
				LoadBalancingWeight: wrapperspb.UInt32(max(1, max(1, to.Weight)*scale/uint32(len(ready)))),
			})
		}
	}
	out := &endpointv3.ClusterLoadAssignment{ClusterName: d.Cluster}
	if len(group.GetLbEndpoints()) > 0 {
		out.Endpoints = []*endpointv3.LocalityLbEndpoints{group}
	}
	return envoy.NewResource(d.Cluster, out)
}
