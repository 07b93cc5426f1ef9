// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Request is what becomes of a request on its route.
type Request struct {
	// Rule is the route's name; empty for a service's own.
	Rule string
	// Status of an answer that the proxy gives itself; 0 for none.
	Status int
	// Location of a redirect, and Body of a direct response.
	Location, Body string
	// Path and Authority that the upstream is asked for.
	Path, Authority string
	// Clusters with their weights, when there are several.
	Clusters []Weighted
	// Timeout of the request, PerTry of one try; 0 for none.
	Timeout, PerTry time.Duration
	// Retries and the conditions; empty when they are the mesh's own.
	Retries string
	// Tries are the retries in words, the mesh's own too.
	Tries string
	// Delay, Abort, Mirrors, CORS and Hash in words; empty for none.
	Delay, Abort, CORS string
	Mirrors, Hash      []string
	// Idle, Age and Tunnel of a connection that is proxied as bytes.
	Idle, Age, Tunnel string
	// Changes of headers, as "request set x: y".
	Changes []string
}

// Weighted is one of several clusters.
type Weighted struct {
	Cluster string
	Weight  uint32
	// Authority that it is asked for; empty for the route's.
	Authority string
	Changes   []string
}

// Answer says what becomes of a request on a route, up to the choice of a cluster.
func Answer(r *routev3.Route, c Call) Request {
	out := Request{Rule: r.GetName()}
	if slices.Contains([]string{"default", "allow_any", "block_all"}, out.Rule) {
		out.Rule = ""
	}
	out.Changes = changes(r.GetRequestHeadersToRemove(), r.GetRequestHeadersToAdd(), r.GetResponseHeadersToRemove(), r.GetResponseHeadersToAdd())
	for _, filter := range r.GetTypedPerFilterConfig() {
		out.filter(filter)
	}
	switch {
	case r.GetRedirect() != nil:
		out.Status, out.Location = statusOf(r.GetRedirect().GetResponseCode()), location(r, c)
	case r.GetDirectResponse() != nil:
		out.Status, out.Body = int(r.GetDirectResponse().GetStatus()), r.GetDirectResponse().GetBody().GetInlineString()+string(r.GetDirectResponse().GetBody().GetInlineBytes())
	default:
		out.forward(r, c)
	}
	return out
}

func (out *Request) forward(r *routev3.Route, c Call) {
	action := r.GetRoute()
	path, _ := c.header(":path")
	out.Path = rewrite(r.GetMatch(), path, action.GetPrefixRewrite(), action.GetRegexRewrite())
	out.Authority = c.Host
	if h := action.GetHostRewriteLiteral(); h != "" {
		out.Authority = h
	}
	if action.GetAutoHostRewrite().GetValue() {
		out.Authority = "(the endpoint's name)"
	}
	for _, w := range action.GetWeightedClusters().GetClusters() {
		out.Clusters = append(out.Clusters, Weighted{
			Cluster: w.GetName(), Weight: w.GetWeight().GetValue(), Authority: w.GetHostRewriteLiteral(),
			Changes: changes(w.GetRequestHeadersToRemove(), w.GetRequestHeadersToAdd(), w.GetResponseHeadersToRemove(), w.GetResponseHeadersToAdd()),
		})
	}
	if action.GetMaxStreamDuration() == nil {
		// Envoy looks at one of them.
		out.Timeout = action.GetTimeout().AsDuration()
	}
	out.Tries = tries(action.GetRetryPolicy())
	// Routes that no rule made are said nothing of.
	if action.GetRetryPolicy() != nil || r.GetMetadata() != nil {
		out.retries(action.GetRetryPolicy())
	}
	for _, m := range action.GetRequestMirrorPolicies() {
		out.Mirrors = append(out.Mirrors, m.GetCluster()+" "+share(m.GetRuntimeFraction().GetDefaultValue()))
	}
	for _, h := range action.GetHashPolicy() {
		out.Hash = append(out.Hash, strings.Join(strings.Fields(h.String()), " "))
	}
}

// usual are the retries of a mesh that says nothing; unsent those of a sidecar
// before its application.
const (
	usual  = "5 on connect-failure,refused-stream,unavailable,cancelled,retriable-headers other hosts"
	unsent = "2 on reset-before-request"
)

func (out *Request) retries(p *routev3.RetryPolicy) {
	out.PerTry = p.GetPerTryTimeout().AsDuration()
	if said := tries(p); said != usual && said != unsent {
		out.Retries = said
	}
}

// tries in words.
func tries(p *routev3.RetryPolicy) string {
	if p.GetNumRetries().GetValue() == 0 {
		return "none"
	}
	said := fmt.Sprintf("%d on %s", p.GetNumRetries().GetValue(), p.GetRetryOn())
	if s := p.GetRetriableStatusCodes(); len(s) > 0 {
		said += fmt.Sprint(" ", s)
	}
	if len(p.GetRetryHostPredicate()) > 0 {
		said += " other hosts"
	}
	if p.GetRetryPriority() != nil {
		said += " other localities"
	}
	if b := p.GetRetryBackOff().GetBaseInterval(); b != nil {
		said += " after " + b.AsDuration().String()
	}
	return said
}

// filter that a route speaks to.
func (out *Request) filter(any *anypb.Any) {
	m, err := any.UnmarshalNew()
	if err != nil {
		return
	}
	switch f := m.(type) {
	case *faultv3.HTTPFault:
		if d := f.GetDelay(); d != nil {
			out.Delay = d.GetFixedDelay().AsDuration().String() + " " + share(d.GetPercentage())
		}
		if a := f.GetAbort(); a != nil {
			out.Abort = fmt.Sprint(a.GetHttpStatus())
			if g, ok := a.GetErrorType().(*faultv3.FaultAbort_GrpcStatus); ok {
				out.Abort = fmt.Sprint("gRPC ", g.GrpcStatus)
			}
			out.Abort += " " + share(a.GetPercentage())
		}
	case *corsv3.CorsPolicy:
		var parts []string
		for _, o := range f.GetAllowOriginStringMatch() {
			parts = append(parts, strings.Join(strings.Fields(o.String()), " "))
		}
		for _, part := range [][2]string{{"methods", f.GetAllowMethods()}, {"headers", f.GetAllowHeaders()}, {"expose", f.GetExposeHeaders()}, {"age", f.GetMaxAge()}} {
			if part[1] != "" {
				parts = append(parts, part[0]+" "+part[1])
			}
		}
		if c := f.GetAllowCredentials(); c != nil {
			parts = append(parts, fmt.Sprint("credentials ", c.GetValue()))
		}
		if f.GetForwardNotMatchingPreflights().GetValue() {
			parts = append(parts, "others pass")
		}
		out.CORS = strings.Join(parts, "; ")
	}
}

func share(p *typev3.FractionalPercent) string {
	of := map[typev3.FractionalPercent_DenominatorType]float64{
		typev3.FractionalPercent_HUNDRED: 100, typev3.FractionalPercent_TEN_THOUSAND: 10000, typev3.FractionalPercent_MILLION: 1000000,
	}[p.GetDenominator()]
	return fmt.Sprintf("%g%%", float64(p.GetNumerator())*100/of)
}

func changes(remove []string, add []*corev3.HeaderValueOption, answerRemove []string, answerAdd []*corev3.HeaderValueOption) []string {
	var out []string
	list := func(of string, remove []string, add []*corev3.HeaderValueOption) {
		for _, name := range remove {
			out = append(out, of+" remove "+name)
		}
		for _, h := range add {
			verb := "add"
			if h.GetAppendAction() == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
				verb = "set"
			}
			out = append(out, fmt.Sprintf("%s %s %s: %s", of, verb, h.GetHeader().GetKey(), h.GetHeader().GetValue()))
		}
	}
	list("request", remove, add)
	list("response", answerRemove, answerAdd)
	return out
}

// refused says why a request ends at its route; nil when it goes on.
func (out *Request) refused() error {
	switch {
	case out.Location != "":
		return fmt.Errorf("%d: go to %s", out.Status, out.Location)
	case out.Body != "":
		return fmt.Errorf("%d: answered by the proxy: %s", out.Status, out.Body)
	case out.Status != 0:
		return fmt.Errorf("%d: answered by the proxy", out.Status)
	}
	return nil
}

var errNoRoute = errors.New("404: no route takes the request")

// write what is worth saying: nothing of a request that goes as it came.
func (out *Request) write(field func(name, value string), c Call) {
	field("rule", out.Rule)
	if path, _ := c.header(":path"); out.Path != path {
		field("path", out.Path)
	}
	if out.Authority != c.Host {
		field("authority", out.Authority)
	}
	for _, w := range out.Clusters {
		field("share", strings.TrimSpace(fmt.Sprintf("%d %s %s", w.Weight, w.Cluster, w.Authority)))
		for _, change := range w.Changes {
			field(" ", change)
		}
	}
	if out.Timeout != 0 {
		field("timeout", out.Timeout.String())
	}
	if out.PerTry != 0 {
		field("each try", out.PerTry.String())
	}
	field("retries", out.Retries)
	field("idle timeout", out.Idle)
	field("oldest connection", out.Age)
	field("tunnel", out.Tunnel)
	field("delay", out.Delay)
	field("abort", out.Abort)
	field("cors", out.CORS)
	for _, m := range out.Mirrors {
		field("mirror", m)
	}
	for _, h := range out.Hash {
		field("hash", h)
	}
	for _, change := range out.Changes {
		field("header", change)
	}
}
