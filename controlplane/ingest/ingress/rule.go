// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "k8s.io/api/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// routings of an Ingress: one for each host that it names, and one for all
// others when it has a default backend. The most specific path goes first.
func (b *builder) routings(o *networking.Ingress, origin model.Origin, at []model.GatewayRef) {
	rules := map[string][]model.HTTPRule{}
	for i := range o.Spec.Rules {
		r := &o.Spec.Rules[i]
		host := strings.ToLower(r.Host)
		if host == "" {
			host = "*"
		}
		if r.HTTP == nil {
			// The default backend has all of it.
			rules[host] = append([]model.HTTPRule{}, rules[host]...)
			continue
		}
		for j := range r.HTTP.Paths {
			p := &r.HTTP.Paths[j]
			field := fmt.Sprintf("spec.rules[%d].http.paths[%d]", i, j)
			rule := model.HTTPRule{Destinations: []model.Destination{b.destination(o, field+".backend", &p.Backend)}}
			if m := path(p); m.Kind != model.MatchAny {
				rule.Matches = []model.HTTPMatch{{Path: m}}
			}
			rules[host] = append(rules[host], rule)
		}
	}
	if o.Spec.DefaultBackend != nil {
		if rules["*"] == nil {
			rules["*"] = []model.HTTPRule{}
		}
		for _, host := range slices.Sorted(maps.Keys(rules)) {
			rules[host] = append(rules[host], b.fallback(o)...)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(rules)) {
		if len(rules[host]) > 0 {
			b.out.Routings = append(b.out.Routings, &model.Routing{
				Origin: origin, Hosts: []string{host}, Gateways: at, BySpecificity: true, HTTP: rules[host],
			})
		}
	}
	b.checkDefault(o)
}

// fallback is the rule for what no path takes; none without a default backend.
func (b *builder) fallback(o *networking.Ingress) []model.HTTPRule {
	if o.Spec.DefaultBackend == nil {
		return nil
	}
	d, _, _ := b.resolve(o, o.Spec.DefaultBackend)
	return []model.HTTPRule{{Destinations: []model.Destination{d}}}
}

func (b *builder) checkDefault(o *networking.Ingress) {
	if o.Spec.DefaultBackend != nil {
		b.destination(o, "spec.defaultBackend", o.Spec.DefaultBackend)
	}
}

// path of a rule. ImplementationSpecific is exact, and a prefix when it ends in
// "/*" or ".*", as in Istio.
func path(p *networking.HTTPIngressPath) model.Match {
	kind := networking.PathTypeImplementationSpecific
	if p.PathType != nil {
		kind = *p.PathType
	}
	switch {
	case kind == networking.PathTypeExact:
		return model.Match{Kind: model.MatchExact, Value: p.Path}
	case kind == networking.PathTypePrefix && strings.Trim(p.Path, "/") == "":
		return model.Match{}
	case kind == networking.PathTypePrefix:
		return model.Match{Kind: model.MatchPathPrefix, Value: strings.TrimRight(p.Path, "/")}
	case p.Path == "" || p.Path == "*" || p.Path == "/*" || p.Path == ".*" || p.Path == "/.*":
		return model.Match{}
	}
	for _, wildcard := range []string{".*", "/*"} {
		if prefix, ok := strings.CutSuffix(p.Path, wildcard); ok {
			return model.Match{Kind: model.MatchPrefix, Value: prefix}
		}
	}
	return model.Match{Kind: model.MatchExact, Value: p.Path}
}

// destination of a backend, and what is wrong with it.
func (b *builder) destination(o *networking.Ingress, field string, backend *networking.IngressBackend) model.Destination {
	d, reason, message := b.resolve(o, backend)
	if reason != "" {
		b.tell(o, field, reason, "%s", message)
	}
	return d
}

// resolve a backend; with a reason and a message when it can't be sent to.
func (b *builder) resolve(o *networking.Ingress, backend *networking.IngressBackend) (d model.Destination, reason, message string) {
	fail := func(why, format string, args ...any) (model.Destination, string, string) {
		d.Invalid = fmt.Sprintf(format, args...)
		return d, why, d.Invalid
	}
	d = model.Destination{Host: "invalid", Weight: 1}
	if backend.Service == nil {
		return fail(notSupported, "requests get 500: a resource is no backend of the mesh; name a Service")
	}
	s := backend.Service
	d.Host = model.Hostname(s.Name + "." + o.Namespace + ".svc." + b.in.Settings.DomainSuffix)
	known := b.services[o.Namespace+"/"+s.Name]
	if known == nil {
		return fail(unknown, "requests get 500: there is no Service %q in namespace %q; create it, or mend the name", s.Name, o.Namespace)
	}
	for _, p := range known.Spec.Ports {
		if s.Port.Name != "" && p.Name == s.Port.Name || s.Port.Name == "" && p.Port == s.Port.Number {
			d.Port = uint16(max(p.Port, 0))
			return d, "", ""
		}
	}
	port := s.Port.Name
	if port == "" {
		port = fmt.Sprint(s.Port.Number)
	}
	return fail(unknown, "requests get 500: Service %q has no port %q; add it, or mend the port", s.Name, port)
}
