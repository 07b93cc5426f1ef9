// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// filters are what the filters of a rule, or of a backend, come to.
type filters struct {
	headers  model.HeaderChanges
	redirect *model.Redirect
	rewrite  *model.Rewrite
	mirrors  []model.Mirror
	cors     *model.CORS
	// fault is a value that isn't supported; invalid a reference that can't be followed.
	fault   fault
	invalid string
}

func (f *filters) onto(rule *model.HTTPRule) {
	rule.Headers, rule.Redirect, rule.Rewrite, rule.Mirrors, rule.CORS = f.headers, f.redirect, f.rewrite, f.mirrors, f.cors
}

func (f *filters) onlyHeaders() bool {
	return f.redirect == nil && f.rewrite == nil && f.mirrors == nil && f.cors == nil
}

func (b *bodyBuilder) httpFilters(at string, all []gateway.HTTPRouteFilter) *filters {
	out := &filters{}
	for i := range all {
		spec := &all[i]
		field := fmt.Sprintf("%s.filters[%d]", at, i)
		switch spec.Type {
		case gateway.HTTPRouteFilterRequestRedirect:
			out.redirect = redirect(spec.RequestRedirect)
		case gateway.HTTPRouteFilterURLRewrite:
			out.rewrite = rewrite(spec.URLRewrite)
		case gateway.HTTPRouteFilterCORS:
			out.cors = cors(spec.CORS)
		default:
			b.filter(out, field, &gateway.GRPCRouteFilter{
				Type: gateway.GRPCRouteFilterType(spec.Type), RequestHeaderModifier: spec.RequestHeaderModifier,
				ResponseHeaderModifier: spec.ResponseHeaderModifier, RequestMirror: spec.RequestMirror, ExtensionRef: spec.ExtensionRef,
			})
		}
	}
	if out.redirect != nil && out.rewrite != nil {
		out.fault.first(faultf(gateway.RouteReasonIncompatibleFilters, "%s.filters: RequestRedirect and URLRewrite can't both be there: remove one.", at))
	}
	return out
}

func (b *bodyBuilder) grpcFilters(at string, all []gateway.GRPCRouteFilter) *filters {
	out := &filters{}
	for i := range all {
		b.filter(out, fmt.Sprintf("%s.filters[%d]", at, i), &all[i])
	}
	return out
}

// filter of a kind that both HTTPRoutes and GRPCRoutes have.
func (b *bodyBuilder) filter(out *filters, field string, spec *gateway.GRPCRouteFilter) {
	switch spec.Type {
	case gateway.GRPCRouteFilterRequestHeaderModifier:
		out.headers.Request = headerOps(out.headers.Request, spec.RequestHeaderModifier)
	case gateway.GRPCRouteFilterResponseHeaderModifier:
		out.headers.Response = headerOps(out.headers.Response, spec.ResponseHeaderModifier)
	case gateway.GRPCRouteFilterRequestMirror:
		b.mirror(out, field, spec.RequestMirror)
	case gateway.GRPCRouteFilterExtensionRef:
		b.extension(out, field, spec.ExtensionRef)
	default:
		out.fault.first(faultf(gateway.RouteReasonUnsupportedValue, "%s: filter type %q is not supported: remove it.", field, spec.Type))
	}
}

// extension: no kind of filter of others is known, so its requests must fail.
func (b *bodyBuilder) extension(out *filters, field string, ref *gateway.LocalObjectReference) {
	what := "nothing"
	if ref != nil {
		what = qualified(string(ref.Group), string(ref.Kind)) + " " + string(ref.Name)
	}
	f := faultf(gateway.RouteReasonInvalidKind, "%s: no filter is known by %s: remove it.", field, what)
	out.invalid = f.message
	b.references.refs.firm(f)
}

// headerOps adds a filter to what there is; of several values for one name the first counts.
func headerOps(ops model.HeaderOps, f *gateway.HTTPHeaderFilter) model.HeaderOps {
	if f == nil {
		return ops
	}
	ops.Set, ops.Add = headers(ops.Set, f.Set), headers(ops.Add, f.Add)
	ops.Remove = append(slices.Clone(ops.Remove), f.Remove...)
	return ops
}

func headers(have []model.Header, more []gateway.HTTPHeader) []model.Header {
	out := slices.Clone(have)
	for _, h := range more {
		out = append(out, model.Header{Name: string(h.Name), Value: h.Value})
	}
	slices.SortStableFunc(out, func(a, b model.Header) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return slices.CompactFunc(out, func(a, b model.Header) bool { return strings.EqualFold(a.Name, b.Name) })
}

func redirect(f *gateway.HTTPRequestRedirectFilter) *model.Redirect {
	if f == nil {
		f = &gateway.HTTPRequestRedirectFilter{}
	}
	out := &model.Redirect{Scheme: deref(f.Scheme, ""), Host: string(deref(f.Hostname, "")), Status: uint32(deref(f.StatusCode, 302))}
	switch {
	case f.Port != nil:
		out.Port = uint16(*f.Port)
	case f.Scheme != nil:
		// The scheme's own port.
		out.PortFromScheme = true
	default:
		// The listener's port.
		out.KeepPort = true
	}
	out.Path, out.PrefixPath = pathModifier(f.Path)
	return out
}

func rewrite(f *gateway.HTTPURLRewriteFilter) *model.Rewrite {
	if f == nil {
		return nil
	}
	out := &model.Rewrite{Authority: string(deref(f.Hostname, ""))}
	out.Path, out.PrefixPath = pathModifier(f.Path)
	return out
}

func pathModifier(m *gateway.HTTPPathModifier) (full, prefix *string) {
	switch {
	case m == nil:
	case m.Type == gateway.FullPathHTTPPathModifier:
		full = m.ReplaceFullPath
	case m.Type == gateway.PrefixMatchHTTPPathModifier:
		prefix = m.ReplacePrefixMatch
	}
	return full, prefix
}

// mirror: one whose backend can't be found is left out, and told.
func (b *bodyBuilder) mirror(out *filters, field string, f *gateway.HTTPRequestMirrorFilter) {
	if f == nil {
		return
	}
	m := model.Mirror{Destination: b.destination(field+".requestMirror.backendRef", f.BackendRef, nil), Percent: 100}
	switch {
	case f.Percent != nil:
		m.Percent = float64(*f.Percent)
	case f.Fraction != nil && deref(f.Fraction.Denominator, 100) > 0:
		m.Percent = 100 * float64(f.Fraction.Numerator) / float64(deref(f.Fraction.Denominator, 100))
	}
	if m.Destination.Invalid == "" {
		out.mirrors = append(out.mirrors, m)
	}
}

func cors(f *gateway.HTTPCORSFilter) *model.CORS {
	if f == nil {
		return nil
	}
	out := &model.CORS{}
	for _, o := range f.AllowOrigins {
		out.Origins = append(out.Origins, originMatch(string(o)))
	}
	for _, m := range f.AllowMethods {
		out.Methods = append(out.Methods, string(m))
	}
	for _, h := range f.AllowHeaders {
		out.AllowHeaders = append(out.AllowHeaders, string(h))
	}
	for _, h := range f.ExposeHeaders {
		out.ExposeHeaders = append(out.ExposeHeaders, string(h))
	}
	if f.AllowCredentials != nil {
		out.Credentials = f.AllowCredentials
	}
	if f.MaxAge > 0 {
		age := time.Duration(f.MaxAge) * time.Second
		out.MaxAge = &age
	}
	return out
}

// originMatch: an asterisk in the host stands for any number of labels to the left.
func originMatch(o string) model.Match {
	if o == "*" {
		return model.Match{Kind: model.MatchAny}
	}
	before, after, wild := strings.Cut(o, "*")
	if !wild {
		return model.Match{Kind: model.MatchExact, Value: o}
	}
	return model.Match{Kind: model.MatchRegex, Value: regexp.QuoteMeta(before) + "[^/]+" + regexp.QuoteMeta(after)}
}
