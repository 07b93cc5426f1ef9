// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Defaults, as the kind's own definition tells them.
const (
	defaultCounters = 10_000
	defaultTimeout  = 100 * time.Millisecond
	defaultDomain   = "isthmesh"
	defaultStatus   = 429
)

// Bounds, as the kind's own definition has them.
const (
	maxRules    = 16
	maxKeys     = 8
	maxRequests = 1_000_000_000
	maxCounters = 1_000_000
	maxTimeout  = 10 * time.Second
	maxHeaders  = 16
	maxName     = 63
	maxText     = 4096
)

var units = map[v1alpha1.Unit]model.RateUnit{
	v1alpha1.Second: model.PerSecond, v1alpha1.Minute: model.PerMinute, v1alpha1.Hour: model.PerHour, v1alpha1.Day: model.PerDay,
}

// policy reads a spec. Everything that is wrong with it is told.
func (r *reader) policy(spec *v1alpha1.RateLimitPolicySpec) *model.RateLimit {
	out := &model.RateLimit{Origin: r.origin, Target: r.target(spec), Counters: defaultCounters, Status: defaultStatus}
	switch spec.Mode {
	case "", v1alpha1.Enforce:
	case v1alpha1.Shadow:
		out.Shadow = true
	default:
		r.refuse("spec.mode", "%.100q is no mode; use Enforce or Shadow", spec.Mode)
	}
	r.scope(spec, out)
	if n := len(spec.Rules); n == 0 || n > maxRules {
		r.refuse("spec.rules", "there are %d rules; a policy has 1 to %d", n, maxRules)
		return out
	}
	named := map[string]bool{}
	for i := range spec.Rules {
		field := fmt.Sprintf("spec.rules[%d]", i)
		rule := r.rule(field, &spec.Rules[i], spec.Scope == v1alpha1.ScopeMesh)
		if named[rule.Name] {
			r.refuse(field+".name", "rule %.100q is there twice; give each its own name", rule.Name)
		}
		named[rule.Name] = true
		out.Rules = append(out.Rules, rule)
	}
	if spec.Response != nil {
		r.response(spec.Response, out)
	}
	return out
}

// scope is who counts.
func (r *reader) scope(spec *v1alpha1.RateLimitPolicySpec, out *model.RateLimit) {
	switch spec.Scope {
	case "", v1alpha1.ScopePod:
		if spec.Service != nil {
			r.refuse("spec.service", "in scope Pod each proxy counts by itself and asks nobody; set scope Mesh, or remove service")
		}
		if n := spec.MaxCounters; n != nil {
			if *n < 1 || *n > maxCounters {
				r.refuse("spec.maxCounters", "%d is not possible; use 1 to %d", *n, maxCounters)
			}
			out.Counters = uint32(max(*n, 1))
		}
	case v1alpha1.ScopeMesh:
		if spec.MaxCounters != nil {
			r.refuse("spec.maxCounters", "in scope Mesh the service keeps the counters; remove it")
		}
		out.Counters = 0
		if spec.Service == nil {
			r.refuse("spec.service", "in scope Mesh a service counts; name it, or set scope Pod")
			return
		}
		out.Service = r.service(spec.Service)
	default:
		r.refuse("spec.scope", "%.100q is no scope; use Pod or Mesh", spec.Scope)
	}
}

func (r *reader) service(s *v1alpha1.CountingService) *model.RateService {
	host := model.Hostname(strings.ToLower(strings.TrimSuffix(s.Host, ".")))
	out := &model.RateService{Host: host, Port: uint16(s.Port), Domain: cmp.Or(s.Domain, defaultDomain), TimeoutMillis: defaultTimeout.Milliseconds()}
	switch {
	case host == "" || strings.ContainsAny(s.Host, "*/: ,|"):
		r.refuse("spec.service.host", "%.300q is no host of a service; write it as name.namespace.svc.%s", s.Host, cmp.Or(r.settings.DomainSuffix, "cluster.local"))
	case !slices.Contains(r.hostnames, host):
		what := "requests pass uncounted"
		if s.FailureMode == v1alpha1.FailureDeny {
			what = "requests that rules match are refused"
		}
		r.tell("spec.service.host", notFound, "there is no service %.300q in the mesh, so %s (failureMode); correct the name, or create the service", s.Host, what)
	}
	if s.Port < 1 || s.Port > 65535 {
		r.refuse("spec.service.port", "%d is no port; use 1 to 65535", s.Port)
	}
	switch s.FailureMode {
	case "", v1alpha1.FailureAllow:
	case v1alpha1.FailureDeny:
		out.Deny = true
	default:
		r.refuse("spec.service.failureMode", "%.100q is none; use Allow or Deny", s.FailureMode)
	}
	if s.Timeout != nil {
		out.TimeoutMillis = s.Timeout.Milliseconds()
		if out.TimeoutMillis < 1 || s.Timeout.Duration > maxTimeout {
			r.refuse("spec.service.timeout", "%s is not possible; use 1ms to %s", s.Timeout.Duration, maxTimeout)
		}
	}
	return out
}

func (r *reader) response(from *v1alpha1.Response, out *model.RateLimit) {
	if s := from.Status; s != nil {
		if !slices.Contains(statuses, *s) {
			r.refuse("spec.response.status", "%d is no status that a proxy refuses with; use 429, or another one of 400 to 511 that HTTP defines", *s)
		}
		out.Status = uint32(max(*s, 0))
	}
	if len(from.Headers) > maxHeaders {
		r.refuse("spec.response.headers", "there are %d headers; at most %d are possible", len(from.Headers), maxHeaders)
		return
	}
	named := map[string]bool{}
	for i, h := range from.Headers {
		field, name := fmt.Sprintf("spec.response.headers[%d]", i), strings.ToLower(h.Name)
		switch {
		case !isHeader(name):
			r.refuse(field+".name", "%.100q is no header name; correct it", h.Name)
		case named[name]:
			r.refuse(field+".name", "header %q is there twice; keep one", name)
		case unwritable[name]:
			r.refuse(field+".name", "header %q says how the response is sent, and is the proxy's to write; remove it", name)
		case len(h.Value) > maxText || strings.ContainsAny(h.Value, "\r\n\x00"):
			r.refuse(field+".value", "a value is one line of at most %d bytes; correct it", maxText)
		}
		named[name] = true
		out.Headers = append(out.Headers, model.Header{Name: name, Value: h.Value})
	}
	switch from.RateLimitHeaders {
	case "", v1alpha1.HeadersNone:
	case v1alpha1.HeadersDraft03:
		out.TellLimits = true
	default:
		r.refuse("spec.response.rateLimitHeaders", "%.100q is none; use None or DraftVersion03", from.RateLimitHeaders)
	}
}

// statuses that Envoy knows among those of refusals.
var statuses = []int32{
	400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 426, 428, 429, 431,
	500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
}

// unwritable headers say how a response is sent: Envoy takes no others for them.
var unwritable = map[string]bool{
	"host": true, "content-length": true, "transfer-encoding": true, "connection": true, "keep-alive": true, "upgrade": true, "te": true, "trailer": true,
	"proxy-connection": true,
}

func isHeader(name string) bool {
	token := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_|~", c)
	}
	return name != "" && len(name) <= 256 && !strings.ContainsFunc(name, func(c rune) bool { return !token(c) })
}
