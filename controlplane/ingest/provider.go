// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"
	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// reporter takes what is wrong with a field of MeshConfig, by its path.
type reporter func(field, reason, format string, args ...any)

// below reports on fields below one.
func (r reporter) below(field string) func(field, reason, format string, args ...any) {
	return func(sub, reason, format string, args ...any) {
		if sub != "" {
			sub = "." + sub
		}
		r(field+sub, reason, format, args...)
	}
}

// providersOf reads the external authorizers and the places for access logs among
// the extension providers, sorted by name. One that can't be read is left out:
// policies that name it then deny.
func providersOf(given []*meshapi.MeshConfig_ExtensionProvider, report reporter) (all []model.Provider, logs []model.LogProvider) {
	names := map[string]bool{}
	for i, p := range given {
		field := fmt.Sprintf("extensionProviders[%d]", i)
		switch {
		case p.GetName() == "":
			report(field+".name", Invalid, "a provider without a name can't be referred to and is left out; name it")
			continue
		case names[p.GetName()]:
			report(field+".name", Conflict, "provider %q is there before and holds; rename one of them", p.GetName())
			continue
		}
		names[p.GetName()] = true
		at := providerCheck{report: report.below(field + "." + providerKind(p))}
		out := model.Provider{Name: p.GetName()}
		switch {
		case p.GetEnvoyExtAuthzGrpc() != nil:
			at.grpc(&out, p.GetEnvoyExtAuthzGrpc())
		case p.GetEnvoyExtAuthzHttp() != nil:
			at.http(&out, p.GetEnvoyExtAuthzHttp())
		case p.GetPrometheus() != nil:
			continue // applyMetrics
		default:
			if log, ok := at.logProvider(p); ok {
				if !at.broken {
					logs = append(logs, log)
				}
				continue
			}
			report(field, NotSupported, "provider %q of kind %s is not acted on; remove it", p.GetName(), providerKind(p))
			continue
		}
		if !at.broken {
			all = append(all, out)
		}
	}
	slices.SortFunc(all, func(a, b model.Provider) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(logs, func(a, b model.LogProvider) int { return strings.Compare(a.Name, b.Name) })
	return all, logs
}

// providerKind is the name of the field that a provider is written in.
func providerKind(p *meshapi.MeshConfig_ExtensionProvider) string {
	m := p.ProtoReflect()
	if field := m.WhichOneof(m.Descriptor().Oneofs().ByName("provider")); field != nil {
		return field.JSONName()
	}
	return "none"
}

// providerCheck reads one provider.
type providerCheck struct {
	report func(field, reason, format string, args ...any)
	// broken: it can't be used at all.
	broken bool
}

func (c *providerCheck) refuse(field, format string, args ...any) {
	c.broken = true
	c.report(field, Invalid, format+"; the provider is left out, and policies that name it deny", args...)
}

func (c *providerCheck) grpc(out *model.Provider, p *meshapi.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationGrpcProvider) {
	out.GRPC = true
	out.FailOpen, out.ClearRouteCache = p.GetFailOpen(), p.GetClearRouteCache()
	c.target(out, p.GetService(), p.GetPort(), p.GetTimeout(), p.GetStatusOnError())
	c.body(out, p.GetIncludeRequestBodyInCheck())
}

func (c *providerCheck) http(out *model.Provider, p *meshapi.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationHttpProvider) {
	out.FailOpen, out.ClearRouteCache, out.PathPrefix = p.GetFailOpen(), p.GetClearRouteCache(), p.GetPathPrefix()
	c.target(out, p.GetService(), p.GetPort(), p.GetTimeout(), p.GetStatusOnError())
	c.body(out, p.GetIncludeRequestBodyInCheck())
	if out.PathPrefix != "" && !strings.HasPrefix(out.PathPrefix, "/") {
		c.refuse("pathPrefix", "%q doesn't begin with a slash", out.PathPrefix)
	}
	// The older field stands in for the newer one, as Istio has it.
	include, field := p.GetIncludeRequestHeadersInCheck(), "includeRequestHeadersInCheck"
	old := p.GetIncludeHeadersInCheck() //nolint:staticcheck // people still write it
	if len(include) == 0 && len(old) > 0 {
		include, field = old, "includeHeadersInCheck"
	}
	out.IncludeRequestHeaders = c.headers(field, include)
	out.HeadersToUpstreamOnAllow = c.headers("headersToUpstreamOnAllow", p.GetHeadersToUpstreamOnAllow())
	out.HeadersToDownstreamOnDeny = c.headers("headersToDownstreamOnDeny", p.GetHeadersToDownstreamOnDeny())
	out.HeadersToDownstreamOnAllow = c.headers("headersToDownstreamOnAllow", p.GetHeadersToDownstreamOnAllow())
	for _, name := range slices.Sorted(maps.Keys(p.GetIncludeAdditionalHeadersInCheck())) {
		if !isHeader(name) {
			c.refuse("includeAdditionalHeadersInCheck["+name+"]", "%q is no name of a header", name)
		}
		out.IncludeAdditionalRequestHeaders = append(out.IncludeAdditionalRequestHeaders,
			model.Header{Name: name, Value: p.GetIncludeAdditionalHeadersInCheck()[name]})
	}
}

// target is who is asked, and what becomes of a request when nobody answers.
func (c *providerCheck) target(out *model.Provider, service string, port uint32, timeout *durationpb.Duration, status string) {
	namespace, host, ok := serviceNamed(service)
	switch {
	case !ok:
		c.refuse("service", "%q is no host; write the full name of a service, with namespace/ in front where several have that name", service)
	case port == 0 || port > 65535:
		c.refuse("port", "%d is no port; use 1 to 65535", port)
	}
	out.Namespace, out.Host, out.Port = namespace, host, uint16(port)
	if timeout != nil {
		if out.TimeoutMillis = timeout.AsDuration().Milliseconds(); out.TimeoutMillis < 1 {
			c.refuse("timeout", "%v is no timeout; give a millisecond or more", timeout.AsDuration())
		}
	}
	if status != "" {
		n, err := strconv.ParseUint(status, 10, 16)
		if err != nil || !isStatus(uint32(n)) {
			c.refuse("statusOnError", "%q is no status that Envoy can answer with; use a number such as 403 or 503", status)
		}
		out.StatusOnError = uint32(n)
	}
}

// serviceNamed reads a host, or namespace/host; false when it is none.
func serviceNamed(text string) (namespace string, host model.Hostname, ok bool) {
	namespace, name, qualified := strings.Cut(text, "/")
	if !qualified {
		namespace, name = "", text
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return namespace, model.Hostname(name), isName(name) && (!qualified || isLabel(namespace))
}

func (c *providerCheck) body(out *model.Provider, b *meshapi.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationRequestBody) {
	if b == nil {
		return
	}
	if b.GetMaxRequestBytes() == 0 {
		c.refuse("includeRequestBodyInCheck.maxRequestBytes", "0 includes nothing; give a size, or remove the body")
	}
	out.MaxBodyBytes, out.AllowPartialBody, out.PackBodyAsBytes = b.GetMaxRequestBytes(), b.GetAllowPartialMessage(), b.GetPackAsBytes()
	if b.GetPackAsBytes() && !out.GRPC {
		c.report("includeRequestBodyInCheck.packAsBytes", NotSupported, "it means something to gRPC authorizers only; remove it")
		out.PackBodyAsBytes = false
	}
}

// isStatus is true for the statuses that Envoy can answer with (envoy.type.v3.StatusCode).
func isStatus(n uint32) bool {
	switch {
	case n == 100, n >= 200 && n <= 208, n == 226, n >= 300 && n <= 305, n == 307, n == 308:
		return true
	case n >= 400 && n <= 417, n >= 421 && n <= 424, n == 426, n == 428, n == 429, n == 431:
		return true
	}
	return n >= 500 && n <= 508 || n == 510 || n == 511
}

// headers are names, or with a "*" at one end the beginning or end of names.
func (c *providerCheck) headers(field string, given []string) []string {
	for i, h := range given {
		if name := strings.TrimSuffix(h, "*"); name == h && isHeader(strings.TrimPrefix(h, "*")) || name != h && isHeader(name) {
			continue
		}
		c.refuse(fmt.Sprintf("%s[%d]", field, i), "%q is no name of a header, nor one with a * at one end", h)
	}
	return given
}

// isHeader is true for a token (RFC 9110, section 5.6.2).
func isHeader(s string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'+-.^_`|~", r)
	}
	return s != "" && strings.IndexFunc(s, other) < 0
}
