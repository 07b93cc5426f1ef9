// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"slices"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

func (p *Patch) isRoutes() bool {
	return p.ApplyTo == "ROUTE_CONFIGURATION" || p.ApplyTo == "VIRTUAL_HOST" || p.ApplyTo == "HTTP_ROUTE"
}

// ofRoutes is true when a route configuration's name is one that a patch is about.
func (p *Patch) ofRoutes(where Where, name string) bool {
	if !p.isRoutes() || !p.in(where) {
		return false
	}
	m := p.match.RouteConfiguration
	switch {
	case m == nil:
		return true
	case m.Name != "" && m.Name != name, m.PortNumber != 0 && m.PortNumber != portOf(name):
		return false
	case m.PortName != "" && m.PortName != portNameOf(name):
		return false
	case m.Gateway != "":
		// https.<port>.<port name>.<gateway>.<namespace>; http.<port> is several gateways'.
		namespace, gateway, ok := strings.Cut(m.Gateway, "/")
		return !ok || strings.HasPrefix(name, "http.") || strings.HasSuffix(name, "."+gateway+"."+namespace)
	}
	return true
}

// portOf a route configuration: "80", "host:80", "http.80", "https.443.…",
// "inbound|8080||", "127.0.0.1_9080".
func portOf(name string) uint32 {
	switch {
	case strings.HasPrefix(name, "http"), strings.HasPrefix(name, "inbound|"):
		fields := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '|' })
		if len(fields) < 2 {
			return 0
		}
		name = fields[1]
	default:
		name = name[strings.LastIndexAny(name, ":_")+1:]
	}
	n, _ := strconv.ParseUint(name, 10, 16)
	return uint32(n)
}

// routes with a patch applied.
func (p *Patch) routes(c *routev3.RouteConfiguration) {
	host := (*hostMatch)(nil)
	if m := p.match.RouteConfiguration; m != nil {
		host = m.VHost
	}
	namesHost := host != nil && (host.Name != "" || host.DomainName != "")
	chosen := func(v *routev3.VirtualHost) bool {
		return host == nil || (host.Name == "" || host.Name == v.GetName()) && (host.DomainName == "" || slices.Contains(v.GetDomains(), host.DomainName))
	}
	switch p.ApplyTo {
	case "ROUTE_CONFIGURATION":
		if p.merges() {
			merge(c, p.value, p.Operation == replaceLists)
		}
	case "VIRTUAL_HOST":
		c.VirtualHosts = edit(c.GetVirtualHosts(), p, namesHost, chosen, atEnd)
	case "HTTP_ROUTE":
		for _, v := range c.GetVirtualHosts() {
			if chosen(v) {
				n := ours(v.GetRoutes())
				v.Routes = slices.Concat(v.GetRoutes()[:n], edit(v.GetRoutes()[n:], p, host != nil && host.Route != nil, host.takes, atEnd))
			}
		}
	}
}

// takes is true for routes that are matched.
func (m *hostMatch) takes(r *routev3.Route) bool {
	if m == nil || m.Route == nil {
		return true
	}
	if m.Route.Name != "" && m.Route.Name != r.GetName() {
		return false
	}
	switch m.Route.Action {
	case "ROUTE":
		return r.GetRoute() != nil
	case "REDIRECT":
		return r.GetRedirect() != nil
	case "DIRECT_RESPONSE":
		return r.GetDirectResponse() != nil
	}
	return true
}

// portNameOf a gateway's server. Only the routes of one server have it: those of
// plain HTTP are shared by all servers on a port, and no name matches them.
func portNameOf(name string) string {
	fields := strings.Split(name, ".")
	if fields[0] != "https" || len(fields) < 5 {
		return ""
	}
	// https.<port>.<port name>.<gateway>.<namespace>, of which gateway may have dots; ports' names have none.
	return fields[2]
}

// ours are the first routes, which nobody wrote and no patch is meant for: they
// turn requests away while a pod ends.
func ours(routes []*routev3.Route) int {
	n := slices.IndexFunc(routes, func(r *routev3.Route) bool {
		return r.GetMatch().GetRuntimeFraction().GetRuntimeKey() != envoy.TerminatingKey
	})
	if n < 0 {
		return len(routes)
	}
	return n
}
