// SPDX-License-Identifier: Apache-2.0

package accesslog

import (
	"fmt"
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// Logs are what the listeners of some proxies log and count, on each side of calls.
type Logs struct {
	settings *model.Settings
	gateway  bool
	server   side
	client   side
}

// side of calls.
type side struct {
	logs []*accesslogv3.AccessLog
	// own: the mesh's own logs stay.
	own bool
	// metrics are changed; nil for not at all.
	metrics *standardmetrics.Change
}

// New makes the logs of Telemetries, which are sorted as Choose sorts them. Gateways
// are clients on all their listeners.
func New(s *model.Settings, chosen []*model.Telemetry, gateway bool) *Logs {
	of := func(mode model.PluginMode) side {
		logs, said := logsOf(s, chosen, mode)
		out := side{own: !said, metrics: standardmetrics.NewChange(chosen, mode)}
		for _, l := range logs {
			made := envoy.Logger(envoy.LogProvider(s, l.provider))
			if l.filter != "" {
				made.Filter = holds(l.filter)
			}
			out.logs = append(out.logs, made)
		}
		return out
	}
	return &Logs{settings: s, gateway: gateway, server: of(model.Server), client: of(model.Client)}
}

// holds is a filter of an expression.
func holds(expression string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{ExtensionFilter: &accesslogv3.ExtensionFilter{
		Name:       "envoy.access_loggers.extension_filters.cel",
		ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: envoy.Any(&celv3.ExpressionFilter{Expression: expression})},
	}}}
}

// Listener with these logs; the same resource when the mesh's own stay.
func (of *Logs) Listener(r *envoy.Resource) (*envoy.Resource, error) {
	return envoy.RewriteListener(r, func(l *listenerv3.Listener) (bool, error) {
		at := of.client
		if !of.gateway && l.GetTrafficDirection() == corev3.TrafficDirection_INBOUND {
			at = of.server
		}
		if at.own && at.metrics == nil {
			return false, nil
		}
		if !at.own && of.refuses(l) {
			l.AccessLog = at.refused()
		}
		for _, c := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
			for _, f := range c.GetFilters() {
				if err := at.filter(f); err != nil {
					return false, err
				}
			}
		}
		return true, nil
	})
}

// refuses is true for listeners that log what none of their chains takes: those that
// connections come to first, and those that did before.
func (of *Logs) refuses(l *listenerv3.Listener) bool {
	return !of.settings.NoRefusedLog && (of.gateway || l.GetName() == envoy.VirtualInbound || l.GetName() == envoy.VirtualOutbound || len(l.GetAccessLog()) > 0)
}

// refused connections are what is logged of a listener itself.
func (s side) refused() []*accesslogv3.AccessLog {
	var out []*accesslogv3.AccessLog
	for _, l := range s.logs {
		only := proto.CloneOf(l)
		only.Filter = envoy.RefusedFilter()
		if l.GetFilter() != nil {
			only.Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
				AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{envoy.RefusedFilter(), l.GetFilter()}},
			}}
		}
		out = append(out, only)
	}
	return out
}

// loggers in place of others: access logs, unless the mesh's own stay, and metrics.
func (s side) loggers(was, now []*accesslogv3.AccessLog) ([]*accesslogv3.AccessLog, error) {
	metrics, err := s.metrics.Loggers(was)
	if err != nil {
		return nil, err
	}
	if s.own {
		now = slices.DeleteFunc(was, func(l *accesslogv3.AccessLog) bool { return l.GetName() == standardmetrics.Logger })
	}
	return slices.Concat(now, metrics), nil
}

// filter that logs gets these logs.
func (s side) filter(f *listenerv3.Filter) error {
	var m proto.Message
	switch f.GetName() {
	case envoy.HTTPFilter:
		h := &hcmv3.HttpConnectionManager{}
		if err := f.GetTypedConfig().UnmarshalTo(h); err != nil {
			return fmt.Errorf("read its HTTP connection manager: %w", err)
		}
		logs, err := s.loggers(h.GetAccessLog(), s.logs)
		if err != nil {
			return err
		}
		h.AccessLog, m = logs, h
	case envoy.TCPFilter:
		p := &tcpproxyv3.TcpProxy{}
		if err := f.GetTypedConfig().UnmarshalTo(p); err != nil {
			return fmt.Errorf("read its TCP proxy: %w", err)
		}
		now := s.logs
		if p.GetAccessLogOptions().GetFlushAccessLogOnConnected() {
			now = standardmetrics.Ended(now)
		}
		logs, err := s.loggers(p.GetAccessLog(), now)
		if err != nil {
			return err
		}
		p.AccessLog, m = logs, p
	default:
		return nil
	}
	f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: envoy.Any(m)}
	return nil
}
