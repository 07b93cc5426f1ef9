// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	matcherconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// connections limits what the pool of a cluster holds.
func connections(c *clusterv3.Cluster, pool *model.ConnectionPool) {
	t := thresholds(c)
	limit := func(to **wrapperspb.UInt32Value, n uint32) {
		if n > 0 {
			*to = wrapperspb.UInt32(n)
		}
	}
	limit(&t.MaxConnections, pool.MaxConnections)
	limit(&t.MaxPendingRequests, pool.MaxPending)
	limit(&t.MaxRequests, pool.MaxRequests)
	if pool.MaxRetries != nil {
		t.MaxRetries = wrapperspb.UInt32(*pool.MaxRetries)
	}
	if d := pool.ConnectTimeout; d != nil && *d > 0 {
		c.ConnectTimeout = durationpb.New(*d)
	}
	keepalive(c, pool.TCPKeepalive, true)
}

// Limited is the target that stands for an application behind its own sidecar,
// of which nothing is known but the limits of connections to it; nil for none.
func Limited(pool *model.ConnectionPool) Target {
	return Target{
		Settings: &model.Settings{}, Service: &model.Service{Ports: []model.Port{{}}},
		Policy: &model.DestinationPolicy{Policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{Connections: pool}}},
	}
}

// Limit connections of a cluster to its own application. The application is
// spoken to as its port says: nothing is upgraded there.
func Limit(c *clusterv3.Cluster, pool *model.ConnectionPool) {
	if pool != nil {
		own := *pool
		own.HTTP2 = nil
		connections(c, &own)
		http(c, Limited(&own))
	}
}

// thresholds of the default priority, which are there to be changed.
func thresholds(c *clusterv3.Cluster) *clusterv3.CircuitBreakers_Thresholds {
	if c.CircuitBreakers == nil {
		c.CircuitBreakers = &clusterv3.CircuitBreakers{}
	}
	if len(c.CircuitBreakers.GetThresholds()) == 0 {
		c.CircuitBreakers.Thresholds = []*clusterv3.CircuitBreakers_Thresholds{{}}
	}
	return c.CircuitBreakers.Thresholds[0]
}

// budget of retries, which stands in place of their largest number.
func budget(c *clusterv3.Cluster, b *model.RetryBudget) {
	if b == nil {
		return
	}
	out := &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
		BudgetPercent:       &typev3.Percent{Value: min(max(b.Percent, 0), 100)},
		MinRetryConcurrency: wrapperspb.UInt32(b.MinConcurrency),
	}
	if b.Interval != nil && *b.Interval > 0 {
		out.BudgetInterval = durationpb.New(*b.Interval)
	}
	thresholds(c).RetryBudget = out
}

// optionsName is under which a cluster has its HTTP options.
const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// maxStreams is the largest number of streams that HTTP/2 can say.
const maxStreams = 1<<31 - 1

// maxPerConnection is the largest number of requests that the API lets users write.
const maxPerConnection = 1 << 29

// http writes what a policy, or the mesh, says of HTTP into a cluster. One of
// plain TCP gets options only where a policy says something of HTTP, or wraps it
// in TLS: a gateway, or a route, may send requests there. Connections that are sent
// on as they are don't see the options.
func http(c *clusterv3.Cluster, t Target) {
	packed := c.GetTypedExtensionProtocolOptions()[optionsName]
	own, asks := foreign(t)
	pool, errors := httpPolicy(t)
	if packed == nil && !asks && len(errors) == 0 && !saysHTTP(pool) {
		return
	}
	options := upstreamv3.HttpProtocolOptions{UpstreamProtocolOptions: http1()}
	if packed != nil && packed.UnmarshalTo(&options) != nil {
		return
	}
	version(&options, t, pool)
	if asks {
		options.UpstreamHttpProtocolOptions = own
	}
	lifetime(&options, pool)
	if len(errors) > 0 {
		options.OutlierDetection = &upstreamv3.HttpProtocolOptions_OutlierDetection{ErrorMatcher: statuses(errors)}
	}
	if c.TypedExtensionProtocolOptions == nil {
		c.TypedExtensionProtocolOptions = map[string]*anypb.Any{}
	}
	c.TypedExtensionProtocolOptions[optionsName] = envoy.Any(&options)
}

// httpPolicy is what a target's policy says of requests: its pool, never nil, and
// the answers that count as errors.
func httpPolicy(t Target) (pool *model.ConnectionPool, errors []uint32) {
	pool = &model.ConnectionPool{}
	if p := t.PortPolicy(); p != nil {
		pool = cmp.Or(p.Connections, pool)
		if p.Outliers != nil {
			errors = p.Outliers.ErrorStatuses
		}
	}
	return pool, errors
}

// saysHTTP is true for a pool with settings that stand in HTTP options.
func saysHTTP(pool *model.ConnectionPool) bool {
	return pool.MaxRequestsPerConn > 0 || pool.IdleTimeout != nil || pool.TCPIdleTimeout != nil || pool.MaxConnectionAge != nil ||
		pool.MaxConcurrentStreams > 0 || pool.HTTP2Ping != nil || pool.HTTP2 != nil || pool.UseClientProtocol
}

// http1 is what Envoy speaks where nothing is said.
func http1() *upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_ {
	return &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
	}}
}

// version of HTTP that is spoken upstream.
func version(options *upstreamv3.HttpProtocolOptions, t Target, pool *model.ConnectionPool) {
	same := options.GetUseDownstreamProtocolConfig()
	plain := options.GetExplicitHttpConfig().GetHttpProtocolOptions() != nil
	// The mesh's setting leaves sniffed ports alone: what the client spoke there may
	// be all that the application knows. Who asks for it in a policy knows better.
	upgrade := t.Settings.HTTP2Upgrade && !t.Service.External && t.port().Protocol.IsHTTP()
	if pool.HTTP2 != nil {
		upgrade = *pool.HTTP2
	}
	switch {
	case pool.UseClientProtocol && same == nil:
		options.UpstreamProtocolOptions = &upstreamv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &upstreamv3.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  &corev3.Http1ProtocolOptions{},
				Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
			},
		}
	case upgrade && !pool.UseClientProtocol && (same != nil || plain):
		options.UpstreamProtocolOptions = &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		}
	}
	h2 := options.GetUseDownstreamProtocolConfig().GetHttp2ProtocolOptions()
	if h2 == nil {
		h2 = options.GetExplicitHttpConfig().GetHttp2ProtocolOptions()
	}
	if h2 == nil {
		return
	}
	if n := pool.MaxConcurrentStreams; n > 0 {
		h2.MaxConcurrentStreams = wrapperspb.UInt32(min(n, maxStreams))
	}
	if ping := pool.HTTP2Ping; ping != nil && ping.Interval > 0 && ping.Timeout > 0 {
		h2.ConnectionKeepalive = &corev3.KeepaliveSettings{
			Interval: durationpb.New(max(ping.Interval, time.Millisecond)),
			Timeout:  durationpb.New(max(ping.Timeout, time.Millisecond)),
		}
	}
}

// upgraded is true when the cluster speaks HTTP/2 whatever the client spoke.
func upgraded(c *clusterv3.Cluster) bool {
	var options upstreamv3.HttpProtocolOptions
	packed := c.GetTypedExtensionProtocolOptions()[optionsName]
	return packed != nil && packed.UnmarshalTo(&options) == nil && options.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil
}

// lifetime of HTTP connections. How many requests one of them carries to
// another network's gateway is bounded already; a policy can only lower that.
// How long one of TCP may be idle holds for HTTP where nothing else is said, as in Istio.
func lifetime(options *upstreamv3.HttpProtocolOptions, pool *model.ConnectionPool) {
	common := options.GetCommonHttpProtocolOptions()
	if common == nil {
		common = &corev3.HttpProtocolOptions{}
	}
	set := false
	if n := min(pool.MaxRequestsPerConn, maxPerConnection); n > 0 {
		if have := common.GetMaxRequestsPerConnection().GetValue(); have > 0 {
			n = min(n, have)
		}
		common.MaxRequestsPerConnection, set = wrapperspb.UInt32(n), true
	}
	if d := cmp.Or(pool.IdleTimeout, pool.TCPIdleTimeout); d != nil && *d >= 0 {
		common.IdleTimeout, set = durationpb.New(*d), true
	}
	if d := pool.MaxConnectionAge; d != nil && *d > 0 {
		common.MaxConnectionDuration, set = durationpb.New(*d), true
	}
	if set {
		options.CommonHttpProtocolOptions = common
	}
}

// statuses matches answers with one of them.
func statuses(list []uint32) *matcherconfigv3.MatchPredicate {
	alternatives := make([]string, len(list))
	for i, s := range list {
		alternatives[i] = fmt.Sprint(s)
	}
	return &matcherconfigv3.MatchPredicate{Rule: &matcherconfigv3.MatchPredicate_HttpResponseHeadersMatch{
		HttpResponseHeadersMatch: &matcherconfigv3.HttpHeadersMatch{Headers: []*routev3.HeaderMatcher{{
			Name: ":status",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: strings.Join(alternatives, "|")}},
			}},
		}}},
	}}
}
