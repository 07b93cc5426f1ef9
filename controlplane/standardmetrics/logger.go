// SPDX-License-Identifier: Apache-2.0

package standardmetrics

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// Logger is the name of these loggers, by which they are told from access logs.
const Logger = "istio.stats"

// Names of the metrics; Envoy puts its own name before them.
const (
	requests         = "istio_requests_total"
	requestDuration  = "istio_request_duration_milliseconds"
	requestBytes     = "istio_request_bytes"
	responseBytes    = "istio_response_bytes"
	connectionsOpen  = "istio_tcp_connections_opened_total"
	connectionsClose = "istio_tcp_connections_closed_total"
	sentBytes        = "istio_tcp_sent_bytes_total"
	receivedBytes    = "istio_tcp_received_bytes_total"
)

// At most so many series: what more there would be isn't counted. A request's three
// histograms and a counter cost 13 KB for each worker.
const (
	maxCounters   = 20000
	maxHistograms = 15000
)

// scope is one and the same for all loggers, so that a listener that changes takes no
// series away. Those that nobody counts by any more go by themselves.
func scope() *typev3.Scope {
	return &typev3.Scope{
		SharingName: "istio", EnableEviction: true,
		MaxCounters: wrapperspb.UInt32(maxCounters), MaxHistograms: wrapperspb.UInt32(maxHistograms),
	}
}

// made once; nobody writes to them.
var (
	httpLoggers = each(httpLogger)
	tcpLoggers  = each(connectionLoggers)
)

func each(of func(Place) []*accesslogv3.AccessLog) (out [places][]*accesslogv3.AccessLog) {
	for p := range places {
		out[p] = of(p)
	}
	return out
}

func httpLogger(p Place) []*accesslogv3.AccessLog {
	tags := p.stat(true)
	histogram := func(name, value string, unit statsv3.Config_Histogram_Unit) *statsv3.Config_Histogram {
		return &statsv3.Config_Histogram{Stat: tags(name), Unit: unit, ValueFormat: value}
	}
	return []*accesslogv3.AccessLog{logger(at(datav3.AccessLogType_DownstreamEnd), &statsv3.Config{
		Counters: []*statsv3.Config_Counter{one(tags(requests))},
		Histograms: []*statsv3.Config_Histogram{
			histogram(requestDuration, "%DURATION%", statsv3.Config_Histogram_Milliseconds),
			histogram(requestBytes, "%DOWNSTREAM_WIRE_BYTES_RECEIVED%", statsv3.Config_Histogram_Bytes),
			histogram(responseBytes, "%DOWNSTREAM_WIRE_BYTES_SENT%", statsv3.Config_Histogram_Bytes),
		},
	})}
}

// unconnected is a connection that never reached its destination.
const unconnected = "!has(upstream.local_address)"

// connectionLoggers: a connection is opened when it has reached its destination, and
// else when it ends, so that each that is closed was opened.
func connectionLoggers(p Place) []*accesslogv3.AccessLog {
	tags := p.stat(false)
	opened := &statsv3.Config{Counters: []*statsv3.Config_Counter{one(tags(connectionsOpen))}}
	bytes := func(name, value string) *statsv3.Config_Counter {
		return &statsv3.Config_Counter{Stat: tags(name), ValueFormat: value}
	}
	return []*accesslogv3.AccessLog{
		logger(at(datav3.AccessLogType_TcpUpstreamConnected), opened),
		logger(both(at(datav3.AccessLogType_TcpConnectionEnd), holds(unconnected)), opened),
		logger(at(datav3.AccessLogType_TcpConnectionEnd), &statsv3.Config{Counters: []*statsv3.Config_Counter{
			one(tags(connectionsClose)), bytes(sentBytes, "%BYTES_SENT%"), bytes(receivedBytes, "%BYTES_RECEIVED%"),
		}}),
	}
}

// stat makes statistics with the tags of a place.
func (p Place) stat(http bool) func(name string) *statsv3.Config_Stat {
	var tags []*statsv3.Config_Tag
	for _, t := range p.tags(http) {
		tags = append(tags, &statsv3.Config_Tag{Name: t.name, ValueFormat: t.format, Rules: t.rule.matcher()})
	}
	return func(name string) *statsv3.Config_Stat { return &statsv3.Config_Stat{Name: name, Tags: tags} }
}

func one(s *statsv3.Config_Stat) *statsv3.Config_Counter {
	return &statsv3.Config_Counter{Stat: s, ValueFixed: wrapperspb.UInt64(1)}
}

func logger(when *accesslogv3.AccessLogFilter, c *statsv3.Config) *accesslogv3.AccessLog {
	c.StatsScope = scope()
	return &accesslogv3.AccessLog{Name: Logger, Filter: when, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: envoy.Any(c)}}
}

func at(one datav3.AccessLogType) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{
		LogTypeFilter: &accesslogv3.LogTypeFilter{Types: []datav3.AccessLogType{one}},
	}}
}

func holds(expression string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{ExtensionFilter: &accesslogv3.ExtensionFilter{
		Name:       "envoy.access_loggers.extension_filters.cel",
		ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: envoy.Any(&celv3.ExpressionFilter{Expression: expression})},
	}}}
}
