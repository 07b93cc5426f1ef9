// SPDX-License-Identifier: Apache-2.0

package standardmetrics

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "write what is counted into testdata")

func configOf(t *testing.T, l *accesslogv3.AccessLog) *statsv3.Config {
	t.Helper()
	out := &statsv3.Config{}
	if err := l.GetTypedConfig().UnmarshalTo(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// written is what loggers count, and by which tags.
func written(t *testing.T, all []*accesslogv3.AccessLog) string {
	t.Helper()
	var b strings.Builder
	for _, l := range all {
		c := configOf(t, l)
		if !proto.Equal(c.GetStatsScope(), scope()) {
			t.Errorf("its scope isn't everybody's: %v", c.GetStatsScope())
		}
		when := fmt.Sprint(l.GetFilter().GetLogTypeFilter().GetTypes())
		if and := l.GetFilter().GetAndFilter(); and != nil {
			when = fmt.Sprint(and.GetFilters()[0].GetLogTypeFilter().GetTypes()) + " unless it was connected"
		}
		fmt.Fprintf(&b, "  at %s\n", when)
		var tags []*statsv3.Config_Tag
		same := func(s *statsv3.Config_Stat) string {
			if tags != nil && !slices.EqualFunc(tags, s.GetTags(), func(a, b *statsv3.Config_Tag) bool { return proto.Equal(a, b) }) {
				t.Errorf("%s has tags of its own", s.GetName())
			}
			tags = s.GetTags()
			return s.GetName()
		}
		for _, s := range c.GetCounters() {
			value := s.GetValueFormat()
			if value == "" {
				value = fmt.Sprint(s.GetValueFixed().GetValue())
			}
			fmt.Fprintf(&b, "    %s + %s\n", same(s.GetStat()), value)
		}
		for _, s := range c.GetHistograms() {
			fmt.Fprintf(&b, "    %s of %s (%s)\n", same(s.GetStat()), s.GetValueFormat(), s.GetUnit())
		}
		for _, tag := range tags {
			rule := ""
			if tag.GetRules() != nil {
				rule = " by a rule"
			}
			fmt.Fprintf(&b, "      %s=%s%s\n", tag.GetName(), tag.GetValueFormat(), rule)
		}
	}
	return b.String()
}

// TestLoggers: what is counted at each place.
func TestLoggers(t *testing.T) {
	var b strings.Builder
	for p, name := range []string{"outbound", "gateway", "inbound in mutual TLS", "inbound otherwise"} {
		fmt.Fprintf(&b, "%s, requests\n%s%s, connections\n%s", name, written(t, httpLoggers[p]), name, written(t, tcpLoggers[p]))
	}
	const file = "testdata/loggers.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("-want +got; go test -update rewrites it:\n%s", d)
	}
}

// TestCount: what a listener logs anyway stays, and says nothing when a connection is
// opened. A mesh without metrics has nothing of it.
func TestCount(t *testing.T) {
	own := []*accesslogv3.AccessLog{{Name: "lines"}}
	for _, on := range []bool{false, true} {
		s := &model.Settings{StandardMetrics: on}
		h, p := &hcmv3.HttpConnectionManager{AccessLog: own}, &tcpproxyv3.TcpProxy{AccessLog: own}
		CountRequests(s, Gateway, h)
		CountConnections(s, Gateway, p)
		var requests, connections []*accesslogv3.AccessLog
		if on {
			requests, connections = httpLoggers[Gateway], tcpLoggers[Gateway]
		}
		if h.GetAccessLog()[0] != own[0] || !slices.Equal(h.GetAccessLog()[1:], requests) || !slices.Equal(p.GetAccessLog()[1:], connections) {
			t.Errorf("on=%t: %v %v", on, h, p)
		}
		if p.GetAccessLogOptions().GetFlushAccessLogOnConnected() != on || (p.GetAccessLog()[0].GetFilter() != nil) != on {
			t.Errorf("on=%t: %v %v", on, p.GetAccessLog()[0], p.GetAccessLogOptions())
		}
	}
	if own[0].GetFilter() != nil {
		t.Error("somebody else's logger is changed")
	}
}

// TestChange: what Telemetries leave of the metrics of requests, as "metric without tag".
func TestChange(t *testing.T) {
	type rules []model.MetricRule
	off := model.MetricOverride{Count: model.No}
	of := func(o model.MetricOverride, metric string, side model.PluginMode) model.MetricOverride {
		o.Metric, o.Side = metric, side
		return o
	}
	all := "requests duration request_bytes response_bytes"
	for name, c := range map[string]struct {
		rules rules
		want  string
	}{
		"Nothing":        {nil, all},
		"Off":            {rules{{Overrides: []model.MetricOverride{off}}}, ""},
		"OffElsewhere":   {rules{{Overrides: []model.MetricOverride{of(off, "", model.Server)}}}, all},
		"OneOff":         {rules{{Overrides: []model.MetricOverride{of(off, requestDuration, model.Client)}}}, "requests request_bytes response_bytes"},
		"OnAgain":        {rules{{Overrides: []model.MetricOverride{off}}, {Overrides: []model.MetricOverride{{Metric: requests, Count: model.Yes}}}}, "requests"},
		"OtherProvider":  {rules{{Named: true, Elsewhere: true}}, ""},
		"NearerProvider": {rules{{Named: true, Elsewhere: true}, {Named: true}}, all},
		"WithoutNames":   {rules{{Named: true, Elsewhere: true}, {}}, ""},
		"Tags": {rules{{Overrides: []model.MetricOverride{{
			Metric: requests, Remove: []string{"response_flags"}, Set: []model.Header{{Name: "response_code", Value: "1"}},
		}}}}, "requests[-response_flags response_code=%CEL(1)%] duration request_bytes response_bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var chosen []*model.Telemetry
			for i := range c.rules {
				chosen = append(chosen, &model.Telemetry{Metrics: c.rules[i : i+1]})
			}
			given := append([]*accesslogv3.AccessLog{{Name: "lines"}}, httpLoggers[Outbound]...)
			change := NewChange(chosen, model.Client)
			got, err := change.Loggers(given)
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := change.Loggers(given); !slices.Equal(got, again) {
				t.Error("the same loggers are made twice")
			}
			if d := cmp.Diff(c.want, left(t, got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// left are metrics by short names, with what is not as usual of their tags.
func left(t *testing.T, all []*accesslogv3.AccessLog) string {
	t.Helper()
	short := strings.NewReplacer("istio_requests_total", "requests", "istio_request_duration_milliseconds", "duration", "istio_", "")
	usual := map[string]string{}
	for _, tag := range configOf(t, httpLoggers[Outbound][0]).GetCounters()[0].GetStat().GetTags() {
		usual[tag.GetName()] = tag.GetValueFormat()
	}
	var out []string
	add := func(s *statsv3.Config_Stat) {
		var odd []string
		has := map[string]bool{}
		for _, tag := range s.GetTags() {
			if has[tag.GetName()] = true; usual[tag.GetName()] != tag.GetValueFormat() {
				odd = append(odd, tag.GetName()+"="+tag.GetValueFormat())
			}
		}
		for name := range usual {
			if !has[name] {
				odd = append(odd, "-"+name)
			}
		}
		slices.Sort(odd)
		name := short.Replace(s.GetName())
		if len(odd) > 0 {
			name += "[" + strings.Join(odd, " ") + "]"
		}
		out = append(out, name)
	}
	for _, l := range all {
		c := configOf(t, l)
		for _, s := range c.GetCounters() {
			add(s.GetStat())
		}
		for _, s := range c.GetHistograms() {
			add(s.GetStat())
		}
	}
	return strings.Join(out, " ")
}

// TestService: host, name and namespace of a destination.
func TestService(t *testing.T) {
	s := &model.Settings{DomainSuffix: "cluster.local"}
	for name, c := range map[string]struct {
		got  *corev3.Metadata
		want string
	}{
		"Service":      {Service(&model.Service{Hostname: "a.shop.svc.cluster.local", Name: "a", Namespace: "shop"}), "a.shop.svc.cluster.local a shop"},
		"ServiceEntry": {Service(&model.Service{Hostname: "a.example", Name: "entry", Namespace: "shop", Origin: model.Origin{Kind: "ServiceEntry"}}), "a.example a.example shop"},
		"Host":         {Host(s, "a.shop.svc.cluster.local"), "a.shop.svc.cluster.local a shop"},
		"ForeignHost":  {Host(s, "a.example"), "a.example a.example "},
		"LongHost":     {Host(s, "x.a.shop.svc.cluster.local"), "x.a.shop.svc.cluster.local x.a.shop.svc.cluster.local "},
		"Named":        {Named("PassthroughCluster"), " PassthroughCluster "},
	} {
		t.Run(name, func(t *testing.T) {
			of := c.got.GetFilterMetadata()[metadata].GetFields()
			got := of[hostKey].GetStringValue() + " " + of[nameKey].GetStringValue() + " " + of[namespaceKey].GetStringValue()
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
