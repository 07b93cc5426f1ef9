// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"net/http"
	"net/netip"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// maxBody of a direct response, which every proxy holds in memory.
const maxBody = 1 << 20

// httpRule reads one rule. False when no request can be told to be its: then it
// is left out. One that requests can match and that can't be followed is Invalid.
func (r *reader) httpRule(field string, h *networking.HTTPRoute, bound []model.GatewayRef) (model.HTTPRule, bool) {
	matches, ok := r.httpMatches(field+".match", h.GetMatch(), bound)
	if !ok {
		return model.HTTPRule{}, false
	}
	before := r.refusals
	rule := model.HTTPRule{
		Name: h.GetName(), Matches: matches,
		Headers:  r.headers(field+".headers", h.GetHeaders()),
		Timeout:  r.orZero(field+".timeout", h.GetTimeout()),
		Retries:  r.retries(field+".retries", h.GetRetries()),
		Fault:    r.fault(field+".fault", h.GetFault()),
		Mirrors:  r.mirrors(field, h),
		CORS:     r.cors(field+".corsPolicy", h.GetCorsPolicy()),
		Rewrite:  r.rewrite(field+".rewrite", h.GetRewrite()),
		Redirect: r.redirect(field+".redirect", h.GetRedirect(), h.GetMatch()),
		Direct:   r.direct(field+".directResponse", h.GetDirectResponse()),
	}
	if rule.Timeout != nil && *rule.Timeout == 0 {
		rule.Timeout = nil
	}
	r.destinations(field, h, &rule)
	r.exclusive(field, h)
	r.oneAuthority(field, h)
	// What is wrong with a match takes that match away; what is wrong with the
	// rest takes the rule's meaning away.
	if r.refusals > before {
		rule = model.HTTPRule{Name: rule.Name, Matches: rule.Matches, Invalid: r.why}
	}
	return rule, true
}

// exclusive refuses parts of a rule that contradict each other.
func (r *reader) exclusive(field string, h *networking.HTTPRoute) {
	actions := 0
	for _, there := range []bool{len(h.GetRoute()) > 0, h.GetRedirect() != nil, h.GetDirectResponse() != nil, h.GetDelegate() != nil} {
		if there {
			actions++
		}
	}
	switch {
	case actions == 0:
		r.refuse(field, "the rule says nothing of what becomes of requests; add route, redirect, directResponse or delegate")
	case actions > 1:
		r.refuse(field, "route, redirect, directResponse and delegate exclude each other; keep one")
	}
	if len(h.GetRoute()) > 0 || h.GetDelegate() != nil {
		return
	}
	for _, part := range []struct {
		name  string
		there bool
	}{
		{"rewrite", h.GetRewrite() != nil},
		{"fault", h.GetFault() != nil},
		{"mirror", h.GetMirror() != nil},
		{"mirrors", len(h.GetMirrors()) > 0},
		{"timeout", h.GetTimeout() != nil},
		{"retries", h.GetRetries() != nil},
	} {
		if !part.there {
			continue
		}
		if part.name == "rewrite" || part.name == "fault" {
			r.refuse(field+"."+part.name, "a rule that answers by itself sends nothing on; remove %s, or use route", part.name)
			continue
		}
		r.tell(field+"."+part.name, noEffect, "a rule that answers by itself sends nothing on, so it changes nothing; remove it, or use route")
	}
}

func (r *reader) destinations(field string, h *networking.HTTPRoute, rule *model.HTTPRule) {
	total := uint64(0)
	for i, d := range h.GetRoute() {
		where := at(field+".route", i)
		if d == nil {
			r.refuse(where, "the destination is null; write one, or leave it out")
			continue
		}
		out := r.destination(where+".destination", d.GetDestination())
		out.Weight = r.weight(where+".weight", d.GetWeight())
		out.Headers = r.headers(where+".headers", d.GetHeaders())
		total += uint64(out.Weight)
		rule.Destinations = append(rule.Destinations, out)
	}
	r.weights(field+".route", len(h.GetRoute()), total)
}

func (r *reader) weight(field string, w int32) uint32 {
	if w < 0 {
		r.refuse(field, "%d is below zero; weights are shares, 0 or more", w)
		return 0
	}
	return uint32(w)
}

// weights of all destinations of a rule.
func (r *reader) weights(field string, n int, total uint64) {
	switch {
	case n > 1 && total == 0:
		r.refuse(field, "all weights are 0, so nothing is sent; give weights that add up to more")
	case total > 1<<32-1:
		r.refuse(field, "the weights add up to %d; at most 4294967295 is possible, use smaller ones", total)
	}
}

// destination that a rule sends to.
func (r *reader) destination(field string, d *networking.Destination) model.Destination {
	if d == nil || d.GetHost() == "" {
		r.refuse(field+".host", "the destination has no host; name a service")
		return model.Destination{}
	}
	host, _ := r.host(field+".host", d.GetHost())
	if _, err := netip.ParseAddr(host); err == nil {
		r.reject(field+".host", "%q is an address, and no service has it for a name; make a ServiceEntry with a name for it", host)
	}
	if host == "*" {
		r.refuse(field+".host", "\"*\" is no service; name one")
	}
	out := model.Destination{Host: model.Hostname(host), Subset: d.GetSubset()}
	if d.GetSubset() != "" {
		r.subset(field+".subset", d.GetSubset())
	}
	if d.GetPort() != nil {
		out.Port = r.port(field+".port.number", d.GetPort().GetNumber())
	}
	return out
}

func (r *reader) headers(field string, h *networking.Headers) model.HeaderChanges {
	return model.HeaderChanges{
		Request:  r.headerOps(field+".request", h.GetRequest(), true),
		Response: r.headerOps(field+".response", h.GetResponse(), false),
	}
}

// headerOps of a request, whose authority can be set, or of a response.
func (r *reader) headerOps(field string, o *networking.Headers_HeaderOperations, request bool) model.HeaderOps {
	if o == nil {
		return model.HeaderOps{}
	}
	for _, part := range []struct {
		name string
		m    map[string]string
	}{{".set", o.GetSet()}, {".add", o.GetAdd()}} {
		for _, k := range sortedKeys(part.m) {
			r.headerName(field+part.name, k)
			r.changeable(field+part.name, k, request)
			if !isHeaderValue(part.m[k]) {
				r.refuse(field+part.name+"["+k+"]", "the value has a line break in it or more than 16384 bytes; write it on one line")
			}
		}
	}
	for i, k := range o.GetRemove() {
		r.headerName(at(field+".remove", i), k)
		r.changeable(at(field+".remove", i), k, false)
	}
	return model.HeaderOps{Set: sortHeaders(o.GetSet()), Add: sortHeaders(o.GetAdd()), Remove: o.GetRemove()}
}

func (r *reader) headerName(field, name string) {
	if !isHeader(name) {
		r.refuse(field, "%.100q is no name of a header; use letters, digits and hyphens", name)
	}
}

// changeable are headers but those that are parts of HTTP itself; of them only
// the authority of a request can be set.
func (r *reader) changeable(field, name string, authority bool) {
	switch {
	case isAuthority(name) && authority:
	case isAuthority(name) || strings.HasPrefix(name, ":"):
		r.refuse(field, "%q is a part of HTTP itself, which can't be changed here; use rewrite, or another header", name)
	}
}

func isAuthority(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// oneAuthority refuses to set it in several ways.
func (r *reader) oneAuthority(field string, h *networking.HTTPRoute) {
	ways := 0
	if h.GetRewrite().GetAuthority() != "" {
		ways++
	}
	for _, m := range []map[string]string{h.GetHeaders().GetRequest().GetSet(), h.GetHeaders().GetRequest().GetAdd()} {
		for name := range m {
			if isAuthority(name) {
				ways++
			}
		}
	}
	if ways > 1 {
		r.reject(field, "rewrite.authority and headers.request set the authority more than once; keep one of them")
	}
}

func (r *reader) rewrite(field string, w *networking.HTTPRewrite) *model.Rewrite {
	if w == nil {
		return nil
	}
	out := &model.Rewrite{Authority: w.GetAuthority()}
	x := w.GetUriRegexRewrite()
	switch {
	case w.GetUri() != "" && x != nil:
		r.refuse(field, "uri and uriRegexRewrite exclude each other; keep one")
	case w.GetUri() == "" && x == nil && w.GetAuthority() == "":
		r.refuse(field, "it rewrites nothing; add uri, uriRegexRewrite or authority, or remove it")
	case x != nil:
		if x.GetMatch() == "" {
			r.refuse(field+".uriRegexRewrite.match", "it is empty; write an expression")
		} else if err := model.CheckPattern(x.GetMatch()); err != nil {
			r.refuse(field+".uriRegexRewrite.match", "%v; mend or shorten it", err)
		}
		if x.GetRewrite() == "" {
			r.reject(field+".uriRegexRewrite.rewrite", "it is empty; write what the path becomes")
		}
		out.Pattern, out.Substitution = x.GetMatch(), x.GetRewrite()
	case w.GetUri() != "":
		uri := w.GetUri()
		out.PrefixPath = &uri
	}
	if !isHeaderValue(w.GetAuthority()) {
		r.refuse(field+".authority", "it has a line break in it or more than 16384 bytes; write a host")
	}
	return out
}

func (r *reader) redirect(field string, d *networking.HTTPRedirect, matches []*networking.HTTPMatchRequest) *model.Redirect {
	if d == nil {
		return nil
	}
	out := &model.Redirect{Scheme: d.GetScheme(), Host: d.GetAuthority(), Status: d.GetRedirectCode()}
	if out.Status == 0 {
		out.Status = http.StatusMovedPermanently
	}
	switch out.Status {
	case 301, 302, 303, 307, 308:
	default:
		r.refuse(field+".redirectCode", "%d is no redirect; use 301, 302, 303, 307 or 308", out.Status)
	}
	switch p := d.GetRedirectPort().(type) {
	case *networking.HTTPRedirect_Port:
		if p.Port != 0 {
			out.Port = r.port(field+".port", p.Port)
		}
	case *networking.HTTPRedirect_DerivePort:
		out.KeepPort = p.DerivePort == networking.HTTPRedirect_FROM_REQUEST_PORT
		out.PortFromScheme = !out.KeepPort
	}
	if s := d.GetScheme(); s != "" && s != "http" && s != "https" {
		r.refuse(field+".scheme", "%.100q is neither http nor https; use one of them", s)
	}
	uri, prefix := d.GetUri(), d.GetPrefixRewrite()
	switch {
	case uri != "" && prefix != "":
		r.refuse(field, "uri and prefixRewrite exclude each other; keep one")
	case uri != "":
		out.Path = &uri
	case prefix != "":
		out.PrefixPath = &prefix
		for _, m := range matches {
			if _, ok := m.GetUri().GetMatchType().(*networking.StringMatch_Prefix); m.GetUri() != nil && !ok {
				r.reject(field+".prefixRewrite", "it takes the place of the prefix that was matched; match uri.prefix, or use uri")
				break
			}
		}
	case d.GetAuthority() == "" && d.GetScheme() == "" && d.GetRedirectPort() == nil:
		r.refuse(field, "it redirects to where the request came from; add uri, prefixRewrite, authority, port, derivePort or scheme")
	}
	for _, text := range []string{uri, prefix, d.GetAuthority()} {
		if !isHeaderValue(text) {
			r.refuse(field, "a value has a line break in it or more than 16384 bytes; write it on one line")
		}
	}
	return out
}

func (r *reader) direct(field string, d *networking.HTTPDirectResponse) *model.DirectResponse {
	if d == nil {
		return nil
	}
	if d.GetStatus() < 200 || d.GetStatus() > 599 {
		r.refuse(field+".status", "%d is no status to answer with; use 200 to 599", d.GetStatus())
	}
	out := &model.DirectResponse{Status: d.GetStatus()}
	switch b := d.GetBody().GetSpecifier().(type) {
	case *networking.HTTPBody_String_:
		out.Body = []byte(b.String_)
	case *networking.HTTPBody_Bytes:
		out.Body = b.Bytes
	}
	if len(out.Body) > maxBody {
		r.refuse(field+".body", "it has %d bytes; at most %d fit into a proxy's configuration", len(out.Body), maxBody)
		out.Body = nil
	}
	return out
}
