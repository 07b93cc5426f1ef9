// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"regexp"
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// maxRegex is the longest regular expression that is taken.
const maxRegex = 1024

// regex checks an expression as Envoy will read it (RE2).
func regex(field, value string) (model.Match, fault) {
	if len(value) > maxRegex {
		return model.Match{}, faultf(gateway.RouteReasonUnsupportedValue, "%s is longer than %d characters: shorten it.", field, maxRegex)
	}
	if _, err := regexp.Compile(value); err != nil {
		return model.Match{}, faultf(gateway.RouteReasonUnsupportedValue, "%s is not a regular expression of RE2: %v.", field, err)
	}
	return model.Match{Kind: model.MatchRegex, Value: value}, fault{}
}

func httpMatch(m *gateway.HTTPRouteMatch) (model.HTTPMatch, fault) {
	var out model.HTTPMatch
	path, f := pathMatch(m.Path)
	if !f.none() {
		return out, f
	}
	out.Path = path
	if m.Method != nil {
		out.Method = model.Match{Kind: model.MatchExact, Value: string(*m.Method)}
	}
	for _, h := range m.Headers {
		match, f := valueMatch("headers", string(deref(h.Type, gateway.HeaderMatchExact)), h.Value)
		if !f.none() {
			return out, f
		}
		out.Headers = append(out.Headers, model.NamedMatch{Name: strings.ToLower(string(h.Name)), Match: match})
	}
	for _, q := range m.QueryParams {
		match, f := valueMatch("queryParams", string(deref(q.Type, gateway.QueryParamMatchExact)), q.Value)
		if !f.none() {
			return out, f
		}
		out.Query = append(out.Query, model.NamedMatch{Name: string(q.Name), Match: match})
	}
	out.Headers, out.Query = firstOfName(out.Headers), firstOfName(out.Query)
	return out, fault{}
}

// firstOfName sorts by name; of several with one name the first counts (Gateway API).
func firstOfName(all []model.NamedMatch) []model.NamedMatch {
	slices.SortStableFunc(all, func(a, b model.NamedMatch) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(all, func(a, b model.NamedMatch) bool { return a.Name == b.Name })
}

// pathMatch: without a path every path matches.
func pathMatch(p *gateway.HTTPPathMatch) (model.Match, fault) {
	if p == nil {
		return model.Match{Kind: model.MatchPathPrefix, Value: "/"}, fault{}
	}
	value := deref(p.Value, "/")
	switch t := deref(p.Type, gateway.PathMatchPathPrefix); t {
	case gateway.PathMatchExact:
		return model.Match{Kind: model.MatchExact, Value: value}, fault{}
	case gateway.PathMatchPathPrefix:
		if value != "/" {
			value = strings.TrimSuffix(value, "/")
		}
		return model.Match{Kind: model.MatchPathPrefix, Value: value}, fault{}
	case gateway.PathMatchRegularExpression:
		return regex("path", value)
	default:
		return model.Match{}, faultf(gateway.RouteReasonUnsupportedValue, "path.type: %q is not known: use Exact, PathPrefix or RegularExpression.", t)
	}
}

func valueMatch(field, t, value string) (model.Match, fault) {
	switch t {
	case "Exact":
		return model.Match{Kind: model.MatchExact, Value: value}, fault{}
	case "RegularExpression":
		return regex(field, value)
	}
	return model.Match{}, faultf(gateway.RouteReasonUnsupportedValue, "%s.type: %q is not known: use Exact or RegularExpression.", field, t)
}

// grpcMatch: a method is the path /service/method.
func grpcMatch(m *gateway.GRPCRouteMatch) (model.HTTPMatch, fault) {
	var out model.HTTPMatch
	path, f := methodMatch(m.Method)
	if !f.none() {
		return out, f
	}
	out.Path = path
	for _, h := range m.Headers {
		match, f := valueMatch("headers", string(deref(h.Type, gateway.GRPCHeaderMatchExact)), h.Value)
		if !f.none() {
			return out, f
		}
		out.Headers = append(out.Headers, model.NamedMatch{Name: strings.ToLower(string(h.Name)), Match: match})
	}
	out.Headers = firstOfName(out.Headers)
	return out, fault{}
}

func methodMatch(m *gateway.GRPCMethodMatch) (model.Match, fault) {
	if m == nil {
		return model.Match{Kind: model.MatchPathPrefix, Value: "/"}, fault{}
	}
	service, method := deref(m.Service, ""), deref(m.Method, "")
	switch t := deref(m.Type, gateway.GRPCMethodMatchExact); {
	case service == "" && method == "":
		return model.Match{Kind: model.MatchPathPrefix, Value: "/"}, fault{}
	case t == gateway.GRPCMethodMatchExact && service == "":
		return regex("method", "/[^/]+/"+regexp.QuoteMeta(method))
	case t == gateway.GRPCMethodMatchExact && method == "":
		return model.Match{Kind: model.MatchPrefix, Value: "/" + service + "/"}, fault{}
	case t == gateway.GRPCMethodMatchExact:
		return model.Match{Kind: model.MatchExact, Value: "/" + service + "/" + method}, fault{}
	case t == gateway.GRPCMethodMatchRegularExpression:
		if service == "" {
			service = "[^/]+"
		}
		if method == "" {
			method = "[^/]+"
		}
		return regex("method", "/(?:"+service+")/(?:"+method+")")
	default:
		return model.Match{}, faultf(gateway.RouteReasonUnsupportedValue, "method.type: %q is not known: use Exact or RegularExpression.", t)
	}
}
