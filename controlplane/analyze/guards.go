// SPDX-License-Identifier: Apache-2.0

package analyze

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// gatewayGroup is the API group of Gateways and their classes.
const gatewayGroup = "gateway.networking.k8s.io"

// guards are policies on calls: they must guard something, ask somebody that is
// there, and name what their workloads have.
func (a *analysis) guards() {
	for _, p := range a.mesh.Authorizations {
		guarded := a.guarded(p.Origin, p.Target)
		a.provider(p)
		a.rulePorts(p, guarded)
		a.tokens(p, guarded)
	}
	for _, p := range a.mesh.Authentications {
		a.guarded(p.Origin, p.Target)
	}
}

// guarded are the workloads that a policy selects. It tells of a policy that
// applies to nothing. Without any workloads nothing is known of them.
func (a *analysis) guarded(o model.Origin, t model.Target) []*model.Workload {
	for i, ref := range t.Refs {
		if ref.Group != gatewayGroup || ref.Kind != "Gateway" {
			continue
		}
		there := slices.ContainsFunc(a.mesh.Gateways, func(g *model.Gateway) bool { return g.API && g.Namespace == o.Namespace && g.Name == ref.Name })
		if !there {
			a.tell(o, fmt.Sprintf("spec.targetRefs[%d].name", i), GatewayNotFound, "this namespace has no Gateway %q, so the policy applies to nothing; correct the name", ref.Name)
		}
	}
	if len(t.Refs) > 0 || len(a.mesh.Workloads) == 0 {
		return nil
	}
	var out []*model.Workload
	for _, w := range a.mesh.Workloads {
		if a.under(o, t, w) {
			out = append(out, w)
		}
	}
	if len(out) == 0 && t.Selector != "" {
		where := "of this namespace"
		if o.Namespace == a.mesh.Settings.Root() {
			where = "of the mesh"
		}
		a.tell(o, "spec.selector", SelectsNothing, "no workload %s has the labels %q, so the policy applies to nothing; correct them", where, t.Selector)
	}
	return out
}

// under is true when a policy without targetRefs holds for a workload.
func (a *analysis) under(o model.Origin, t model.Target, w *model.Workload) bool {
	return len(t.Refs) == 0 && (o.Namespace == w.Namespace || o.Namespace == a.mesh.Settings.Root()) && t.Selector.Select(w.Labels)
}

// provider of a CUSTOM policy must be a service that can be asked.
func (a *analysis) provider(p *model.Authorization) {
	if p.Action != model.Custom || p.Invalid != "" || a.mesh.Settings == nil {
		return
	}
	i := slices.IndexFunc(a.mesh.Settings.Providers, func(x model.Provider) bool { return x.Name == p.Provider })
	if i < 0 {
		return // told already
	}
	const field = "spec.provider.name"
	x := a.mesh.Settings.Providers[i]
	s, _, ok := a.find(string(x.Host), p.Namespace)
	if !ok {
		a.tell(p.Origin, field, HostNotFound, "no service is called %q, which provider %q asks, so %s; correct the name in MeshConfig, or add a ServiceEntry for it%s",
			x.Host, x.Name, unanswered(x), a.similar(string(x.Host)))
		return
	}
	at := slices.IndexFunc(s.Service.Ports, func(port model.Port) bool { return port.Number == x.Port })
	switch {
	case at < 0:
		a.tell(p.Origin, field, PortNotFound, "%q has no port %d, which provider %q asks, so %s; it has %s", x.Host, x.Port, x.Name, unanswered(x), ports(s.Service))
	case x.GRPC && !s.Service.Ports[at].Protocol.IsHTTP2():
		a.tell(p.Origin, field, WrongProtocol, "port %d of %q doesn't speak gRPC, which provider %q does, so %s; name the port grpc or set appProtocol: grpc",
			x.Port, x.Host, x.Name, unanswered(x))
	}
}

// unanswered is what becomes of calls that the provider isn't heard on.
func unanswered(p model.Provider) string {
	if p.FailOpen {
		return "calls are let in unasked"
	}
	return "calls are refused"
}

// rulePorts of a policy are those of pods, not of Services.
func (a *analysis) rulePorts(p *model.Authorization, guarded []*model.Workload) {
	if len(guarded) == 0 {
		return
	}
	for i := range p.Rules {
		for j := range p.Rules[i].To {
			field := fmt.Sprintf("spec.rules[%d].to[%d].operation", i, j)
			a.namedPorts(p, field+".ports", p.Rules[i].To[j].Ports.In, guarded)
			a.namedPorts(p, field+".notPorts", p.Rules[i].To[j].Ports.NotIn, guarded)
		}
		for j, c := range p.Rules[i].When {
			if c.Key == "destination.port" {
				field := fmt.Sprintf("spec.rules[%d].when[%d]", i, j)
				a.namedPorts(p, field+".values", c.In, guarded)
				a.namedPorts(p, field+".notValues", c.NotIn, guarded)
			}
		}
	}
}

// namedPorts tells of ports that are only Services' own.
func (a *analysis) namedPorts(p *model.Authorization, field string, ports []string, guarded []*model.Workload) {
	for _, text := range ports {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			continue // told already
		}
		var service model.Hostname
		var target uint16
		has := slices.ContainsFunc(guarded, func(w *model.Workload) bool {
			return slices.ContainsFunc(w.Inbound, func(in model.InboundPort) bool {
				if uint64(in.ServicePort) == n && service == "" {
					service, target = in.Service, in.Port
				}
				return uint64(in.Port) == n
			})
		})
		if !has && service != "" {
			a.tell(p.Origin, field, PortNotFound, "%s is the port of service %q; policies see the pods' port, which is %d; write that", text, service, target)
		}
	}
}

// tokens that a policy asks for must be read by a RequestAuthentication.
func (a *analysis) tokens(p *model.Authorization, guarded []*model.Workload) {
	field := asksToken(p)
	if field == "" || len(guarded) == 0 {
		return
	}
	if !a.readsTokens(guarded) {
		a.tell(p.Origin, field, TokenNotRead, "no RequestAuthentication applies to the workloads that this policy does, so no request has a token that it can match; add one")
	}
}

// readsTokens is true when a RequestAuthentication applies to one of the workloads.
func (a *analysis) readsTokens(guarded []*model.Workload) bool {
	return slices.ContainsFunc(guarded, func(w *model.Workload) bool {
		return slices.ContainsFunc(a.mesh.Authentications, func(r *model.RequestAuthentication) bool { return a.under(r.Origin, r.Target, w) })
	})
}

// asksToken is the first field that looks at a token.
func asksToken(p *model.Authorization) string {
	for i, r := range p.Rules {
		for j := range r.From {
			if len(r.From[j].RequestPrincipals.In) > 0 {
				return fmt.Sprintf("spec.rules[%d].from[%d].source.requestPrincipals", i, j)
			}
		}
		for j := range r.When {
			if strings.HasPrefix(r.When[j].Key, "request.auth.") && len(r.When[j].In) > 0 {
				return fmt.Sprintf("spec.rules[%d].when[%d].key", i, j)
			}
		}
	}
	return ""
}
