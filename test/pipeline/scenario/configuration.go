// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Configured meshes: random ones with up to a few policies, routings and
// scopes, which name services of the mesh most of the time.
func Configured() *rapid.Generator[*model.Mesh] {
	return rapid.Custom(func(t *rapid.T) *model.Mesh {
		m := Random().Draw(t, "mesh")
		for i := range rapid.IntRange(0, 2).Draw(t, "entries") {
			m.Services = append(m.Services, randomEntry(t, i))
		}
		slices.SortStableFunc(m.Services, func(x, y model.ServiceState) int {
			return strings.Compare(string(x.Service.Hostname), string(y.Service.Hostname))
		})
		for i := range rapid.IntRange(0, 4).Draw(t, "policies") {
			m.Policies = append(m.Policies, RandomPolicy(t, m, i))
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "routings") {
			m.Routings = append(m.Routings, RandomRouting(t, m, i))
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "scopes") {
			m.Scopes = append(m.Scopes, RandomScope(t, m, i))
		}
		for i := range rapid.IntRange(0, 1).Draw(t, "patches") {
			m.Patches = append(m.Patches, RandomPatch(t, i))
		}
		SortConfiguration(m)
		return m
	})
}

// SortConfiguration as ingest does.
func SortConfiguration(m *model.Mesh) {
	slices.SortFunc(m.Patches, func(x, y *model.Patch) int { return x.Older(y.Origin) })
	slices.SortFunc(m.Policies, func(x, y *model.DestinationPolicy) int { return x.Older(y.Origin) })
	slices.SortFunc(m.Routings, func(x, y *model.Routing) int { return x.Older(y.Origin) })
	slices.SortFunc(m.Scopes, func(x, y *model.Scope) int { return x.Older(y.Origin) })
}

var (
	subsets = rapid.SampledFrom([]string{"v1", "v2"})
	labels  = rapid.SampledFrom([]model.Labels{"", "version=v1", "version=v2", "app=a,version=v1"})
)

func origin(t *rapid.T, kind string, i int) model.Origin {
	return model.Origin{
		Kind: kind, Namespace: rapid.SampledFrom([]string{"shop", "bank", "default", "istio-system"}).Draw(t, "namespace"),
		Name: fmt.Sprintf("o%d", i), CreatedUnix: int64(rapid.IntRange(0, 3).Draw(t, "age")),
	}
}

func visibility(t *rapid.T) model.Visibility {
	if rapid.IntRange(0, 2).Draw(t, "limited") > 0 {
		return model.Visibility{}
	}
	out := rapid.SliceOfNDistinct(namespaces, 0, 2, rapid.ID[string]).Draw(t, "export to")
	slices.Sort(out)
	return model.Visibility{Limited: true, Namespaces: out}
}

// randomEntry is a service of a ServiceEntry. Two of one hostname are in two namespaces.
func randomEntry(t *rapid.T, i int) model.ServiceState {
	o := origin(t, "ServiceEntry", i)
	o.Namespace = []string{"shop", "bank"}[i]
	host := rapid.SampledFrom([]string{"api.example.com", "*.example.com", "www.example.com"}).Draw(t, "host")
	svc := &model.Service{
		Hostname: model.Hostname(host), Name: host, Namespace: o.Namespace, Origin: o, Visible: visibility(t),
		External:   rapid.Bool().Draw(t, "external"),
		Resolution: rapid.SampledFrom([]model.Resolution{model.Discovered, model.AsCalled, model.ByDNS, model.ByDNSRoundRobin, model.ByHost}).Draw(t, "resolution"),
	}
	if rapid.Bool().Draw(t, "address") {
		svc.Addresses, svc.Allocated = []netip.Addr{netip.AddrFrom4([4]byte{240, 240, 0, byte(i + 1)})}, true
	}
	state := model.ServiceState{Service: svc}
	numbers := rapid.SliceOfNDistinct(ports, 1, 3, rapid.ID[uint16]).Draw(t, "ports")
	slices.Sort(numbers)
	for _, n := range numbers {
		svc.Ports = append(svc.Ports, model.Port{Number: n, Protocol: protocols.Draw(t, "protocol")})
		set := &model.EndpointSet{}
		if svc.Resolution != model.AsCalled && svc.Resolution != model.ByHost {
			address := "10.244.0.9"
			if svc.Resolution != model.Discovered {
				address = "localhost"
			}
			set.Endpoints = []model.Endpoint{{Address: address, Port: n, Weight: 1, Cluster: "here", Network: "n1", Labels: labels.Draw(t, "labels")}}
		}
		state.Endpoints = append(state.Endpoints, set)
	}
	return state
}

// someHost is a service's, a wildcard or a name that no service has.
func someHost(t *rapid.T, m *model.Mesh) string {
	if n := len(m.Services); n > 0 && rapid.IntRange(0, 3).Draw(t, "of a service") > 0 {
		return string(m.Services[rapid.IntRange(0, n-1).Draw(t, "service")].Service.Hostname)
	}
	return rapid.SampledFrom([]string{"*.shop.svc.cluster.local", "*.cluster.local", "*.example.com", "www.example.com", "10.96.0.1", "a.shop", "a-0.a.shop.svc.cluster.local"}).Draw(t, "host")
}

// RandomPolicy on a host of a mesh.
func RandomPolicy(t *rapid.T, m *model.Mesh, i int) *model.DestinationPolicy {
	p := &model.DestinationPolicy{Origin: origin(t, "DestinationRule", i), Host: someHost(t, m), Visible: visibility(t)}
	if rapid.IntRange(0, 4).Draw(t, "selects") == 0 {
		p.Selector = labels.Draw(t, "selector")
	}
	p.Policy = randomTraffic(t)
	for _, n := range rapid.SliceOfNDistinct(subsets, 0, 2, rapid.ID[string]).Draw(t, "subsets") {
		p.Subsets = append(p.Subsets, model.Subset{Name: n, Labels: labels.Draw(t, "labels"), Policy: p.Policy})
	}
	slices.SortFunc(p.Subsets, func(x, y model.Subset) int { return strings.Compare(x.Name, y.Name) })
	return p
}

func randomTraffic(t *rapid.T) model.TrafficPolicy {
	var p model.TrafficPolicy
	if rapid.Bool().Draw(t, "balancer") {
		p.Balancer = &model.Balancer{Kind: rapid.SampledFrom([]model.BalancerKind{
			model.DefaultBalancer, model.RoundRobin, model.Random, model.Passthrough, model.RingHash, model.Maglev,
		}).Draw(t, "kind")}
		switch p.Balancer.Kind {
		case model.RingHash, model.Maglev:
			p.Balancer.Hash = &model.HashKey{Header: "x-user"}
		case model.RoundRobin:
			p.Balancer.Locality = &model.LocalityBalancing{FailoverPriority: []string{"app"}}
		}
	}
	if rapid.Bool().Draw(t, "pool") {
		p.Connections = &model.ConnectionPool{MaxConnections: 10, MaxRequestsPerConn: 3}
	}
	if rapid.Bool().Draw(t, "outliers") {
		p.Outliers = &model.OutlierDetection{}
	}
	if rapid.Bool().Draw(t, "TLS") {
		p.TLS = &model.ClientTLS{Mode: rapid.SampledFrom([]model.ClientTLSMode{model.AutoTLS, model.DisableTLS, model.SimpleTLS, model.MeshMutualTLS}).Draw(t, "mode")}
	}
	return p
}

// RandomRouting of calls to hosts of a mesh.
func RandomRouting(t *rapid.T, m *model.Mesh, i int) *model.Routing {
	r := &model.Routing{Origin: origin(t, "VirtualService", i), Gateways: []model.GatewayRef{model.Sidecars}, Visible: visibility(t)}
	for range rapid.IntRange(1, 2).Draw(t, "hosts") {
		r.Hosts = append(r.Hosts, someHost(t, m))
	}
	if rapid.IntRange(0, 20).Draw(t, "every host") == 0 {
		r.Hosts = []string{"*"}
	}
	slices.Sort(r.Hosts)
	r.Hosts = slices.Compact(r.Hosts)
	if rapid.IntRange(0, 3).Draw(t, "API") == 0 {
		r.BySpecificity = true
		if rapid.Bool().Draw(t, "consumer") {
			r.ConsumerNamespace = namespaces.Draw(t, "consumer")
		}
	}
	to := func() []model.Destination {
		var out []model.Destination
		for range rapid.IntRange(1, 2).Draw(t, "destinations") {
			d := model.Destination{Host: model.Hostname(someHost(t, m)), Weight: rapid.Uint32Range(0, 100).Draw(t, "weight")}
			if rapid.Bool().Draw(t, "subset") {
				d.Subset = subsets.Draw(t, "subset")
			}
			if rapid.Bool().Draw(t, "with port") {
				d.Port = ports.Draw(t, "port")
			}
			out = append(out, d)
		}
		return out
	}
	from := func() (c model.Callers) {
		if rapid.IntRange(0, 3).Draw(t, "from") == 0 {
			c.Labels, c.Namespace = labels.Draw(t, "labels"), rapid.SampledFrom([]string{"", "shop"}).Draw(t, "namespace")
		}
		return c
	}
	for range rapid.IntRange(0, 2).Draw(t, "rules") {
		h := model.HTTPRule{Destinations: to()}
		if rapid.Bool().Draw(t, "match") {
			h.Matches = []model.HTTPMatch{{Path: model.Match{Kind: model.MatchPrefix, Value: "/x"}, From: from()}}
		}
		if rapid.Bool().Draw(t, "timeout") {
			d := time.Second
			h.Timeout = &d
		}
		r.HTTP = append(r.HTTP, h)
	}
	if rapid.Bool().Draw(t, "TLS") {
		r.TLS = []model.TLSRule{{Matches: []model.TLSMatch{{ServerNames: r.Hosts, From: from()}}, Destinations: to()}}
	}
	if rapid.Bool().Draw(t, "TCP") {
		r.TCP = []model.TCPRule{{Destinations: to()}}
		if rapid.Bool().Draw(t, "subnets") {
			r.TCP[0].Matches = []model.TCPMatch{{DestinationSubnets: []string{"10.96.0.0/24"}, From: from()}}
		}
	}
	return r
}

// RandomScope of a namespace.
func RandomScope(t *rapid.T, m *model.Mesh, i int) *model.Scope {
	s := &model.Scope{Origin: origin(t, "Sidecar", i)}
	if rapid.Bool().Draw(t, "selects") {
		s.Selector = labels.Draw(t, "selector")
	}
	if rapid.Bool().Draw(t, "says") {
		b := rapid.Bool().Draw(t, "registry only")
		s.RegistryOnly = &b
	}
	for range rapid.IntRange(0, 3).Draw(t, "listeners") {
		e := model.Egress{}
		if rapid.Bool().Draw(t, "particular") {
			e.Port, e.Protocol = ports.Draw(t, "port"), protocols.Draw(t, "protocol")
			switch rapid.IntRange(0, 5).Draw(t, "bind") {
			case 0:
				e.Port, e.NoCapture = uint16(20000+10*i+len(s.Egress)), true
			case 1:
				e.Bind = "127.0.0.9"
			}
		}
		for range rapid.IntRange(1, 2).Draw(t, "hosts") {
			e.Hosts = append(e.Hosts, model.ListenerHost{
				Namespace: rapid.SampledFrom([]string{"*", ".", "shop", "~"}).Draw(t, "namespace"),
				Host:      rapid.SampledFrom([]string{"*", "*", someHost(t, m)}).Draw(t, "host"),
			})
		}
		s.Egress = append(s.Egress, e)
	}
	randomIngress(t, s)
	return s
}

// randomIngress of a Scope, without files, which no proxy here has.
func randomIngress(t *rapid.T, s *model.Scope) {
	if rapid.Bool().Draw(t, "limit") {
		s.Inbound = &model.ConnectionPool{MaxConnections: 5, MaxRequestsPerConn: 2}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "ingress") {
		s.Ingress = append(s.Ingress, model.Ingress{
			Port: uint16(21000 + i), Protocol: protocols.Draw(t, "protocol"), Bind: "127.0.0.1",
			Endpoint:  rapid.SampledFrom([]string{"", "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:8080", "[::]:8080", "unix:///run/app.sock"}).Draw(t, "endpoint"),
			NoCapture: rapid.Bool().Draw(t, "bound"),
		})
	}
}

// RandomPatch of an EnvoyFilter; some make what Envoy's API forbids.
func RandomPatch(t *rapid.T, i int) *model.Patch {
	p := &model.Patch{
		Origin: origin(t, "EnvoyFilter", i), Target: model.Target{Selector: labels.Draw(t, "selector")},
		Context: rapid.SampledFrom([]string{"ANY", "SIDECAR_OUTBOUND", "SIDECAR_INBOUND", "GATEWAY"}).Draw(t, "context"),
	}
	kinds := [][3]string{
		{"CLUSTER", "MERGE", `{"connect_timeout":"3s"}`},
		{"CLUSTER", "MERGE", `{"connect_timeout":"-3s"}`},
		{"CLUSTER", "ADD", fmt.Sprintf(`{"name":"added%d","type":"STATIC","connect_timeout":"1s"}`, i)},
		{"LISTENER", "MERGE", `{"per_connection_buffer_limit_bytes":10000}`},
		{"HTTP_FILTER", "INSERT_BEFORE", `{"name":"envoy.filters.http.cors","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"}}`},
		{"VIRTUAL_HOST", "MERGE", `{"require_tls":"NONE","request_headers_to_remove":["x-gone"]}`},
		{"HTTP_ROUTE", "INSERT_FIRST", `{"match":{"path":"/first"},"direct_response":{"status":204}}`},
	}
	k := rapid.SampledFrom(kinds).Draw(t, "patch")
	p.ApplyTo, p.Operation, p.Value = k[0], k[1], []byte(k[2])
	return p
}
