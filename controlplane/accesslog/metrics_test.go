// SPDX-License-Identifier: Apache-2.0

package accesslog

import (
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// TestMetricsStay: access logs and metrics of a listener change apart from each other,
// and no access log hears of connections that are opened.
func TestMetricsStay(t *testing.T) {
	s := &model.Settings{LogProviders: providers, AccessLogPath: "/dev/stdout", StandardMetrics: true}
	h, p := envoy.HTTPManager(s, "x"), envoy.TCPProxy(s, "x")
	standardmetrics.CountRequests(s, standardmetrics.Outbound, h)
	standardmetrics.CountConnections(s, standardmetrics.Outbound, p)
	was, err := envoy.NewResource("l", &listenerv3.Listener{Name: "l", FilterChains: []*listenerv3.FilterChain{{
		Filters: []*listenerv3.Filter{envoy.HTTPManagerFilter(h), envoy.TCPProxyFilter(p)},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	logs := []model.LogRule{{Providers: []string{"a", "envoy"}}}
	none := []model.MetricRule{{Overrides: []model.MetricOverride{{Count: model.No}}}}
	type count struct{ HTTPLogs, HTTPMetrics, TCPLogs, TCPMetrics int }
	for name, c := range map[string]struct {
		telemetry model.Telemetry
		want      count
	}{
		"Nothing":        {model.Telemetry{}, count{1, 1, 1, 3}},
		"Logs":           {model.Telemetry{Logs: logs}, count{2, 1, 2, 3}},
		"NoMetrics":      {model.Telemetry{Metrics: none}, count{1, 0, 1, 0}},
		"LogsNoMetrics":  {model.Telemetry{Logs: logs, Metrics: none}, count{2, 0, 2, 0}},
		"MetricsOfOther": {model.Telemetry{Metrics: []model.MetricRule{{Named: true, Elsewhere: true}}}, count{1, 0, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			now, err := New(s, []*model.Telemetry{&c.telemetry}, false).Listener(was)
			if err != nil {
				t.Fatal(err)
			}
			m, err := now.Message()
			if err != nil {
				t.Fatal(err)
			}
			filters := m.(*listenerv3.Listener).GetFilterChains()[0].GetFilters()
			h, p, got := &hcmv3.HttpConnectionManager{}, &tcpproxyv3.TcpProxy{}, count{}
			if err := filters[0].GetTypedConfig().UnmarshalTo(h); err != nil {
				t.Fatal(err)
			}
			if err := filters[1].GetTypedConfig().UnmarshalTo(p); err != nil {
				t.Fatal(err)
			}
			for _, l := range h.GetAccessLog() {
				if l.GetName() == standardmetrics.Logger {
					got.HTTPMetrics++
				} else {
					got.HTTPLogs++
				}
			}
			for _, l := range p.GetAccessLog() {
				switch {
				case l.GetName() == standardmetrics.Logger:
					got.TCPMetrics++
				case l.GetFilter().GetLogTypeFilter() != nil:
					got.TCPLogs++
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
