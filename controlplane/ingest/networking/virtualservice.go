// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"fmt"
	"slices"
	"strings"

	api "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindVirtualService = "VirtualService"

// virtualService is what one object says, before delegates are put in. It is immutable.
type virtualService struct {
	// routing is nil when the object can't be used. A delegate has no hosts.
	routing *model.Routing
	rules   []virtualRule
	// whole is the routing with its rules, when no delegate is needed for them.
	whole    *model.Routing
	problems []model.Problem
}

// virtualRule is a rule of a VirtualService, by its place in spec.http; delegate
// names who says the rest of it.
type virtualRule struct {
	index    int
	rule     model.HTTPRule
	delegate *delegateRef
}

// isDelegate is true for one that others include, and that does nothing by itself.
func (v *virtualService) isDelegate() bool { return v.routing != nil && len(v.routing.Hosts) == 0 }

func readVirtualService(o *networking.VirtualService, settings *model.Settings) *virtualService {
	r := newReader(kindVirtualService, o, settings)
	v := &virtualService{}
	spec := &o.Spec
	routing := &model.Routing{Origin: r.origin, Visible: r.visibility(spec.GetExportTo(), settings.RoutingExportTo)}
	routing.Gateways = r.boundTo(spec)
	routing.Hosts = r.routedHosts(spec, slices.Contains(routing.Gateways, model.Sidecars))
	if len(spec.GetHttp())+len(spec.GetTls())+len(spec.GetTcp()) == 0 {
		r.refuse("spec", "it has no rule; add http, tls or tcp")
	}
	for i, h := range spec.GetHttp() {
		v.addHTTP(r, i, h, routing.Gateways)
	}
	r.unreachable(v.rules)
	for i, t := range spec.GetTls() {
		if rule, ok := r.tlsRule(at("spec.tls", i), t, routing); ok {
			routing.TLS = append(routing.TLS, rule)
		}
	}
	for i, t := range spec.GetTcp() {
		if rule, ok := r.tcpRule(at("spec.tcp", i), t, routing.Gateways); ok {
			routing.TCP = append(routing.TCP, rule)
		}
	}
	// Without a host or a gateway left it would hold nowhere, or everywhere.
	delegate := len(spec.GetHosts()) == 0
	if delegate || len(routing.Hosts) > 0 && len(routing.Gateways) > 0 {
		v.routing = routing
		if !slices.ContainsFunc(v.rules, func(rule virtualRule) bool { return rule.delegate != nil }) {
			v.whole, _ = complete(v, nil)
		}
	}
	v.problems = r.problems
	return v
}

func (v *virtualService) addHTTP(r *reader, i int, h *api.HTTPRoute, bound []model.GatewayRef) {
	field := at("spec.http", i)
	if h.GetDelegate() != nil && bound == nil {
		r.reject(field+".delegate", "without hosts this is a delegate itself, which can't delegate further; write its routes here, or add hosts")
	}
	if h == nil {
		r.refuse(field, "the rule is null; write one, or leave it out")
		return
	}
	rule, ok := r.httpRule(field, h, bound)
	if !ok {
		return
	}
	next := virtualRule{index: i, rule: rule}
	if d := h.GetDelegate(); d != nil && rule.Invalid == "" {
		next.delegate = r.delegateRef(field+".delegate", d)
	}
	v.rules = append(v.rules, next)
}

// boundTo are the gateways of an object; those of a delegate are its root's.
func (r *reader) boundTo(spec *api.VirtualService) []model.GatewayRef {
	if len(spec.GetHosts()) == 0 {
		if len(spec.GetGateways()) > 0 {
			r.refuse("spec.gateways", "without hosts this is a delegate, whose gateways are those of the root; remove gateways, or add hosts")
		}
		return nil
	}
	if len(spec.GetGateways()) == 0 {
		return []model.GatewayRef{model.Sidecars}
	}
	var refs []model.GatewayRef
	for i, name := range spec.GetGateways() {
		if ref, ok := r.gatewayRef(at("spec.gateways", i), name); ok {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, compareGatewayRefs)
	return slices.Compact(refs)
}

// routedHosts are the hosts of an object, sorted.
func (r *reader) routedHosts(spec *api.VirtualService, sidecars bool) []string {
	var hosts []string
	there := map[string]bool{}
	if len(spec.GetHosts()) == 0 {
		if len(spec.GetTls())+len(spec.GetTcp()) > 0 {
			r.refuse("spec.hosts", "without hosts this is a delegate, which can have http rules only; name the hosts")
		}
		return nil
	}
	for i, written := range spec.GetHosts() {
		field := at("spec.hosts", i)
		host, ok := r.host(field, written)
		switch {
		case !ok:
		case host == "*" && sidecars:
			r.refuse(field, "\"*\" for sidecars would take every call in the mesh; name hosts, or bind it to gateways only by spec.gateways")
		case there[host]:
			r.refuse(field, "%q is there already; name each host once", written)
		default:
			there[host] = true
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	r.covered(spec.GetHosts(), there)
	return hosts
}

// covered tells of hosts that a wildcard of the same object takes in.
func (r *reader) covered(written []string, there map[string]bool) {
	for i, host := range written {
		for rest := r.fullName(host); rest != ""; {
			_, after, more := strings.Cut(strings.TrimPrefix(rest, "*."), ".")
			wildcard := "*." + after
			if !more {
				wildcard = "*"
			}
			if there[wildcard] && wildcard != host {
				r.reject(at("spec.hosts", i), "%q is in %q, which is there too; keep one of them", host, wildcard)
				break
			}
			rest = after
		}
	}
}

// unreachable tells of rules that earlier ones leave nothing for.
func (r *reader) unreachable(rules []virtualRule) {
	seen := map[string]int{}
	for i, v := range rules {
		if i > 0 && rules[i-1].delegate == nil && catchesAll(rules[i-1].rule.Matches) {
			r.tell(at("spec.http", v.index), noEffect,
				"no request reaches it: rule %d takes all of them; move that one to the end, or give it a match", rules[i-1].index)
			return
		}
		keys := make([]string, len(v.rule.Matches))
		for j, m := range v.rule.Matches {
			m.Name, m.StatPrefix = "", ""
			keys[j] = fmt.Sprintf("%+v", m)
			if earlier, ok := seen[keys[j]]; ok {
				r.tell(at(at("spec.http", v.index)+".match", j), noEffect,
					"no request reaches it: rule %d matches the same before; remove one of the two", earlier)
			}
		}
		if v.delegate != nil {
			continue // what it leaves over comes here
		}
		for _, k := range keys {
			if _, ok := seen[k]; !ok {
				seen[k] = v.index
			}
		}
	}
}

// catchesAll is true for matches of which one asks nothing of a request.
func catchesAll(matches []model.HTTPMatch) bool {
	return len(matches) == 0 || slices.ContainsFunc(matches, func(m model.HTTPMatch) bool {
		every := m.Path.Kind == model.MatchAny || m.Path.Kind == model.MatchPrefix && m.Path.Value == "/"
		return every && m.Scheme == (model.Match{}) && m.Method == (model.Match{}) && m.Authority == (model.Match{}) &&
			len(m.Headers)+len(m.Query) == 0 && m.Port == 0 && m.From.Labels == "" && m.From.Namespace == "" && len(m.From.Gateways) == 0
	})
}
