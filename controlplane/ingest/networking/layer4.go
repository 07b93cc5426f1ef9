// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"slices"
	"strings"

	api "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// tlsRule reads one rule; false when it can't be used.
func (r *reader) tlsRule(field string, t *api.TLSRoute, routing *model.Routing) (model.TLSRule, bool) {
	before := r.refusals
	out := model.TLSRule{Destinations: r.plainDestinations(field, t.GetRoute())}
	if len(t.GetMatch()) == 0 {
		r.refuse(field+".match", "it has no match; say by sniHosts which connections it takes")
	}
	sound := r.refusals == before
	for i, m := range t.GetMatch() {
		before := r.refusals
		where := at(field+".match", i)
		made := model.TLSMatch{
			ServerNames:        r.serverNames(where+".sniHosts", m.GetSniHosts(), routing.Hosts),
			DestinationSubnets: r.prefixes(where+".destinationSubnets", m.GetDestinationSubnets()),
		}
		made.Port, made.From = r.layer4(where, m.GetPort(), m.GetSourceLabels(), m.GetSourceNamespace(), m.GetGateways(), routing.Gateways)
		if r.refusals == before {
			out.Matches = append(out.Matches, made)
		}
	}
	return out, sound && len(out.Matches) > 0
}

// serverNames of a match must be among the hosts of the object.
func (r *reader) serverNames(field string, names, hosts []string) []string {
	if len(names) == 0 {
		r.refuse(field, "there is none; name the server names that it takes")
	}
	var out []string
	for i, name := range names {
		lower := strings.ToLower(name)
		if _, ok := r.host(at(field, i), name); !ok {
			continue
		}
		full := r.fullName(name)
		if !takenIn(hosts, lower) && !takenIn(hosts, full) {
			r.refuse(at(field, i), "%q is none of spec.hosts; add it there, or remove it here", name)
			continue
		}
		out = append(out, lower)
	}
	return out
}

// takenIn is true when a name is one of the sorted hosts, or a wildcard among
// them takes it in.
func takenIn(hosts []string, name string) bool {
	for pattern := name; ; {
		if _, ok := slices.BinarySearch(hosts, pattern); ok {
			return true
		}
		if pattern == "*" {
			return false
		}
		_, rest, more := strings.Cut(strings.TrimPrefix(pattern, "*."), ".")
		if pattern = "*." + rest; !more {
			pattern = "*"
		}
	}
}

func (r *reader) tcpRule(field string, t *api.TCPRoute, bound []model.GatewayRef) (model.TCPRule, bool) {
	before := r.refusals
	out := model.TCPRule{Destinations: r.plainDestinations(field, t.GetRoute())}
	sound := r.refusals == before
	for i, m := range t.GetMatch() {
		before := r.refusals
		where := at(field+".match", i)
		made := model.TCPMatch{DestinationSubnets: r.prefixes(where+".destinationSubnets", m.GetDestinationSubnets())}
		made.Port, made.From = r.layer4(where, m.GetPort(), m.GetSourceLabels(), m.GetSourceNamespace(), m.GetGateways(), bound)
		if m.GetSourceSubnet() != "" {
			// To follow the rule without it would send on more than was asked for.
			r.tell(where+".sourceSubnet", notSupported, "callers can't be told by their address here, so this match holds for none; use sourceLabels or sourceNamespace")
			continue
		}
		if r.refusals == before {
			out.Matches = append(out.Matches, made)
		}
	}
	return out, sound && (len(t.GetMatch()) == 0 || len(out.Matches) > 0)
}

func (r *reader) layer4(field string, port uint32, labels map[string]string, namespace string, gateways []string, bound []model.GatewayRef) (uint16, model.Callers) {
	number := uint16(0)
	if port != 0 {
		number = r.port(field+".port", port)
	}
	from, _ := r.callers(field, labels, namespace, gateways, bound)
	return number, from
}

func (r *reader) prefixes(field string, texts []string) []string {
	var out []string
	for i, text := range texts {
		if p, ok := r.prefix(at(field, i), text); ok {
			out = append(out, p)
		}
	}
	return out
}

func (r *reader) plainDestinations(field string, routes []*api.RouteDestination) []model.Destination {
	if len(routes) == 0 {
		r.refuse(field+".route", "it sends nowhere; add a destination")
	}
	var out []model.Destination
	total := uint64(0)
	for i, d := range routes {
		where := at(field+".route", i)
		if d == nil {
			r.refuse(where, "the destination is null; write one, or leave it out")
			continue
		}
		made := r.destination(where+".destination", d.GetDestination())
		made.Weight = r.weight(where+".weight", d.GetWeight())
		total += uint64(made.Weight)
		out = append(out, made)
	}
	r.weights(field+".route", len(routes), total)
	return out
}
