// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonfaultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Names of the filters that routes speak to.
const (
	corsFilter  = "envoy.filters.http.cors"
	faultFilter = "envoy.filters.http.fault"
	// offerFilter is envoy.OfferHTTP's.
	offerFilter = "envoy.filters.http.set_filter_state"
)

// disabled takes a filter out of a route; read only.
var disabled = envoy.Any(&routev3.FilterConfig{Disabled: true})

// Unoffered is what a route says to filters when it leads to an upstream whose
// TLS is foreign: the mesh's application protocols are not offered to it.
func Unoffered(foreign bool) map[string]*anypb.Any {
	if !foreign {
		return nil
	}
	return map[string]*anypb.Any{offerFilter: disabled}
}

// Filters are the HTTP filters that routes lean on, in their order. They come
// before the router and do nothing on routes that ask nothing of them.
func Filters() []*hcmv3.HttpFilter {
	filter := func(name string, m proto.Message) *hcmv3.HttpFilter {
		return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: envoy.Any(m)}}
	}
	return []*hcmv3.HttpFilter{filter(corsFilter, &corsv3.Cors{}), filter(faultFilter, &faultv3.HTTPFault{})}
}

// percent of requests, to a ten-thousandth of a per cent as in Istio.
func percent(p float64) *typev3.FractionalPercent {
	switch {
	case math.IsNaN(p) || p < 0:
		p = 0
	case p > 100:
		p = 100
	}
	return &typev3.FractionalPercent{Numerator: uint32(math.Round(p * 10000)), Denominator: typev3.FractionalPercent_MILLION}
}

// fault of the rule. What happens to no request at all is left out.
func (r rule) fault(route *routev3.Route) {
	f := r.Fault
	if f == nil {
		return
	}
	out := &faultv3.HTTPFault{}
	if d := f.Delay; d != nil && d.Percent > 0 && d.Fixed > 0 {
		out.Delay = &commonfaultv3.FaultDelay{
			FaultDelaySecifier: &commonfaultv3.FaultDelay_FixedDelay{FixedDelay: durationpb.New(max(d.Fixed, time.Millisecond))},
			Percentage:         percent(d.Percent),
		}
	}
	if a := f.Abort; a != nil && a.Percent > 0 {
		abort := &faultv3.FaultAbort{Percentage: percent(a.Percent)}
		switch {
		case a.GRPCStatus != nil && *a.GRPCStatus <= 16:
			abort.ErrorType = &faultv3.FaultAbort_GrpcStatus{GrpcStatus: *a.GRPCStatus}
		case a.GRPCStatus == nil && a.HTTPStatus >= 200 && a.HTTPStatus < 600:
			abort.ErrorType = &faultv3.FaultAbort_HttpStatus{HttpStatus: a.HTTPStatus}
		default:
			r.tell("fault.abort", "InvalidStatus", "nothing is aborted: write an HTTP status from 200 to 599, or a gRPC status from 0 to 16")
			abort = nil
		}
		out.Abort = abort
	}
	if out.Delay != nil || out.Abort != nil {
		route.TypedPerFilterConfig[faultFilter] = envoy.Any(out)
	}
}

// cors policy of the rule.
func (r rule) cors(route *routev3.Route) {
	c := r.CORS
	if c == nil {
		return
	}
	out := &corsv3.CorsPolicy{
		AllowMethods:                 strings.Join(c.Methods, ","),
		AllowHeaders:                 strings.Join(c.AllowHeaders, ","),
		ExposeHeaders:                strings.Join(c.ExposeHeaders, ","),
		ForwardNotMatchingPreflights: wrapperspb.Bool(c.ForwardUnmatched),
		FilterEnabled:                &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100}},
	}
	for _, list := range []string{out.AllowMethods, out.AllowHeaders, out.ExposeHeaders} {
		if !envoy.ValidValue(list) {
			r.tell("corsPolicy", "InvalidHeader", "methods and headers have a line break in them, or are longer than 16384 bytes: no CORS headers are sent")
			return
		}
	}
	for i, origin := range c.Origins {
		if anything(origin) || origin.Kind == model.MatchAny {
			origin = model.Match{Kind: model.MatchRegex, Value: ".*"}
		}
		if m, ok := r.text(fmt.Sprintf("corsPolicy.allowOrigins[%d]", i), origin); ok {
			out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, m)
		}
	}
	if c.MaxAge != nil {
		out.MaxAge = strconv.FormatInt(int64(c.MaxAge.Round(time.Second)/time.Second), 10)
	}
	if c.Credentials != nil {
		out.AllowCredentials = wrapperspb.Bool(*c.Credentials)
	}
	route.TypedPerFilterConfig[corsFilter] = envoy.Any(out)
}

// mirrors of the rule, but those that get nothing or have nowhere to go.
func (r rule) mirrors() []*routev3.RouteAction_RequestMirrorPolicy {
	var out []*routev3.RouteAction_RequestMirrorPolicy
	for i, m := range r.Mirrors {
		if m.Percent <= 0 || m.Destination.Invalid != "" {
			continue
		}
		to, ok := r.Cluster(m.Destination)
		if !ok {
			if !r.routing.BySpecificity {
				r.tell(fmt.Sprintf("mirrors[%d].destination.host", i), "UnknownDestination", unknown(m.Destination, "nothing is mirrored"))
			}
			continue
		}
		out = append(out, &routev3.RouteAction_RequestMirrorPolicy{
			Cluster:         to.Name,
			RuntimeFraction: &corev3.RuntimeFractionalPercent{DefaultValue: percent(m.Percent)},
			// A mirrored request is no part of the trace: its answer is thrown away.
			TraceSampled: wrapperspb.Bool(false),
		})
	}
	return slices.Clip(out)
}
