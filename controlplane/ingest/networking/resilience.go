// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"net/http"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/ingest/traffic"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

func (r *reader) retries(field string, p *networking.HTTPRetry) *model.Retries {
	return traffic.Retries(p, r.below(field))
}

func (r *reader) fault(field string, f *networking.HTTPFaultInjection) *model.Fault {
	if f == nil {
		return nil
	}
	if f.GetDelay() == nil && f.GetAbort() == nil {
		r.refuse(field, "it does nothing; add delay or abort, or remove it")
		return nil
	}
	out := &model.Fault{}
	if d := f.GetDelay(); d != nil {
		out.Delay = r.delay(field+".delay", d)
	}
	if a := f.GetAbort(); a != nil {
		out.Abort = r.abort(field+".abort", a)
	}
	return out
}

func (r *reader) delay(field string, d *networking.HTTPFaultInjection_Delay) *model.Delay {
	out := &model.Delay{Percent: r.share(field+".percentage", d.GetPercentage().GetValue())}
	if d.GetPercentage() == nil {
		out.Percent = r.percent(field+".percent", float64(d.GetPercent())) //nolint:staticcheck // the API still takes it
	}
	switch v := d.GetHttpDelayType().(type) {
	case *networking.HTTPFaultInjection_Delay_FixedDelay:
		if fixed := r.duration(field+".fixedDelay", v.FixedDelay); fixed != nil {
			out.Fixed = *fixed
		}
	case *networking.HTTPFaultInjection_Delay_ExponentialDelay:
		r.tell(field+".exponentialDelay", notSupported, "proxies have no such delay, requests are not delayed; use fixedDelay")
		return nil
	default:
		r.tell(field, noEffect, "it doesn't say how long, so nothing is delayed; add fixedDelay")
		return nil
	}
	r.given(field, out.Percent)
	return out
}

// given tells of a fault that no request gets.
func (r *reader) given(field string, percent float64) {
	if percent == 0 {
		r.tell(field, noEffect, "no percentage is given, so no request gets it; add percentage.value, up to 100")
	}
}

// grpcStatuses by number (gRPC's status codes).
var grpcStatuses = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

func (r *reader) abort(field string, a *networking.HTTPFaultInjection_Abort) *model.Abort {
	out := &model.Abort{Percent: r.share(field+".percentage", a.GetPercentage().GetValue())}
	switch v := a.GetErrorType().(type) {
	case *networking.HTTPFaultInjection_Abort_HttpStatus:
		if v.HttpStatus < 200 || v.HttpStatus > 599 {
			r.refuse(field+".httpStatus", "%d is no status to answer with; use 200 to 599", v.HttpStatus)
			return nil
		}
		out.HTTPStatus = uint32(v.HttpStatus)
	case *networking.HTTPFaultInjection_Abort_GrpcStatus:
		i := slices.Index(grpcStatuses, v.GrpcStatus)
		if i < 0 {
			r.refuse(field+".grpcStatus", "%.100q is no status of gRPC; use its name in capitals, such as UNAVAILABLE", v.GrpcStatus)
			return nil
		}
		code := uint32(i)
		out.GRPCStatus = &code
	case *networking.HTTPFaultInjection_Abort_Http2Error:
		r.tell(field+".http2Error", notSupported, "proxies can't abort so, requests are not aborted; use httpStatus or grpcStatus")
		return nil
	default:
		r.tell(field, noEffect, "it doesn't say with what, so nothing is aborted; add httpStatus or grpcStatus")
		return nil
	}
	r.given(field, out.Percent)
	return out
}

// mirrors of a rule: mirror with its percentage in either spelling, or mirrors.
func (r *reader) mirrors(field string, h *networking.HTTPRoute) []model.Mirror {
	var out []model.Mirror
	if h.GetMirror() != nil {
		m := model.Mirror{Destination: r.destination(field+".mirror", h.GetMirror()), Percent: 100}
		old := h.GetMirrorPercent() //nolint:staticcheck // the API still takes it
		switch {
		case h.GetMirrorPercentage() != nil:
			m.Percent = r.percent(field+".mirrorPercentage", h.GetMirrorPercentage().GetValue())
		case old != nil:
			m.Percent = r.percent(field+".mirrorPercent", float64(old.GetValue()))
		}
		out = append(out, m)
	} else if h.GetMirrorPercentage() != nil || h.GetMirrorPercent() != nil { //nolint:staticcheck // the API still takes it
		r.tell(field+".mirrorPercentage", noEffect, "there is no mirror that it could be of; add mirror, or in mirrors use percentage")
	}
	if h.GetMirror() != nil && len(h.GetMirrors()) > 0 {
		r.refuse(field+".mirrors", "mirror and mirrors exclude each other; move the one into the other")
		return nil
	}
	for i, p := range h.GetMirrors() {
		where := at(field+".mirrors", i)
		m := model.Mirror{Destination: r.destination(where+".destination", p.GetDestination()), Percent: 100}
		if p.GetPercentage() != nil {
			m.Percent = r.percent(where+".percentage", p.GetPercentage().GetValue())
		}
		out = append(out, m)
	}
	return out
}

// methods of HTTP.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect,
	http.MethodOptions, http.MethodTrace,
}

func (r *reader) cors(field string, c *networking.CorsPolicy) *model.CORS {
	if c == nil {
		return nil
	}
	out := &model.CORS{
		Methods: c.GetAllowMethods(), AllowHeaders: c.GetAllowHeaders(), ExposeHeaders: c.GetExposeHeaders(),
		MaxAge:           r.orZero(field+".maxAge", c.GetMaxAge()),
		ForwardUnmatched: c.GetUnmatchedPreflights() != networking.CorsPolicy_IGNORE,
	}
	if c.GetAllowCredentials() != nil {
		v := c.GetAllowCredentials().GetValue()
		out.Credentials = &v
	}
	for i, m := range c.GetAllowOrigins() {
		where := at(field+".allowOrigins", i)
		made, ok := r.stringMatch(where, m)
		if !ok {
			continue
		}
		if made.Kind == model.MatchAny {
			r.refuse(where, "it says nothing; add exact, prefix or regex")
			continue
		}
		if made.Value == "" {
			r.reject(where, "it is empty; write an origin, such as https://shop.example")
		}
		out.Origins = append(out.Origins, made)
	}
	for _, origin := range c.GetAllowOrigin() { //nolint:staticcheck // the API still takes it
		if len(c.GetAllowOrigins()) > 0 {
			r.tell(field+".allowOrigin", noEffect, "allowOrigins is there and holds; move the origins to it")
			break
		}
		out.Origins = append(out.Origins, model.Match{Kind: model.MatchExact, Value: origin})
	}
	if d := c.GetMaxAge(); d.GetNanos() > 0 {
		r.reject(field+".maxAge", "%v has parts of a second, which the header doesn't; use whole seconds", d.AsDuration())
	}
	for i, method := range c.GetAllowMethods() {
		where := at(field+".allowMethods", i)
		switch {
		case method == "*", slices.Contains(methods, method):
		case isHeader(method):
			r.reject(where, "%.60q is no HTTP method; use %s, or *", method, strings.Join(methods, ", "))
		default:
			r.refuse(where, "%.100q is no HTTP method; use such as GET, or *", method)
		}
	}
	for _, list := range []struct {
		name  string
		names []string
	}{{".allowHeaders", c.GetAllowHeaders()}, {".exposeHeaders", c.GetExposeHeaders()}} {
		for i, name := range list.names {
			if name != "*" {
				r.headerName(at(field+list.name, i), name)
			}
		}
	}
	return out
}
