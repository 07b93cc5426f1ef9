// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/agent/admin"
	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
	meshmodel "github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/peer"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

// TestRealEnvoy: what a real Envoy counts by what the mesh configures is on the
// page with Istio's labels, whatever a caller writes into its headers.
func TestRealEnvoy(t *testing.T) {
	manage, inbound := envoybin.FreePort(t), envoybin.FreePort(t)
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix: "inbound",
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{VirtualHosts: []*routev3.VirtualHost{{
			Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: http.StatusTeapot}},
			}},
		}}}},
		HttpFilters: []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &routerv3.Router{})}}},
	}
	standardmetrics.CountRequests(&meshmodel.Settings{StandardMetrics: true}, standardmetrics.Plain, manager)
	countBy(t, manager.AccessLog, "team", "%REQ(x-team)%")
	envoybin.Start(t, &bootstrapv3.Bootstrap{
		Admin:              &bootstrapv3.Admin{Address: loopback(manage)},
		StatsFlushInterval: durationpb.New(100 * time.Millisecond),
		StatsEviction:      &bootstrapv3.Bootstrap_StatsEvictionInterval{StatsEvictionInterval: durationpb.New(time.Hour)},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Listeners: []*listenerv3.Listener{{
			Name: "inbound", Address: loopback(inbound),
			FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
				Name: "manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, manager)},
			}}}},
		}}},
	}, fmt.Sprintf("127.0.0.1:%d", inbound))

	team := `a"b\n\c,d|{}=é` + "\xff"
	for range 3 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", inbound), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Team", team)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	self := peer.Peer{Workload: "reviews-v2", Namespace: "shop", App: "reviews", Version: "v2", CanonicalService: "reviews", CanonicalRevision: "v2", Cluster: "east"}
	page, _ := metrics.New(admin.New(fmt.Sprintf("127.0.0.1:%d", manage)), nil, self, "1.0")
	families := eventually(t, page, func(got map[string]*dto.MetricFamily) bool {
		m := got["istio_request_duration_milliseconds"].GetMetric()
		return got["istio_requests_total"] != nil && len(m) > 0 && m[0].GetHistogram().GetSampleCount() == 3
	})
	if m := families["istio_requests_total"].GetMetric(); len(m) != 1 || m[0].GetCounter().GetValue() != 3 {
		t.Fatalf("requests: %v", m)
	}
	got := map[string]string{}
	for _, l := range families["istio_requests_total"].GetMetric()[0].GetLabel() {
		got[l.GetName()] = l.GetValue()
	}
	want := map[string]string{
		"reporter": "destination", "source_workload": "unknown", "source_workload_namespace": "unknown", "source_principal": "unknown", "source_app": "unknown",
		"source_version": "unknown", "source_canonical_service": "unknown", "source_canonical_revision": "latest", "source_cluster": "unknown",
		"destination_workload": "reviews-v2", "destination_workload_namespace": "shop", "destination_principal": "unknown", "destination_app": "reviews",
		"destination_version": "v2", "destination_canonical_service": "reviews", "destination_canonical_revision": "v2", "destination_cluster": "east",
		"destination_service": "reviews", "destination_service_name": "reviews", "destination_service_namespace": "shop",
		"request_protocol": "http", "response_code": "418", "grpc_response_status": "", "response_flags": "-", "connection_security_policy": "none",
		"team": strings.ToValidUTF8(team, "\uFFFD"),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
	if m := families["istio_request_duration_milliseconds"].GetMetric(); len(m) != 1 || len(m[0].GetHistogram().GetBucket()) < 3 {
		t.Errorf("durations: %v", m)
	}
}

// countBy adds a tag to what the mesh's loggers count by, as a Telemetry may.
func countBy(t *testing.T, logs []*accesslogv3.AccessLog, name, format string) {
	t.Helper()
	for _, l := range logs {
		config := &statsv3.Config{}
		if err := l.GetTypedConfig().UnmarshalTo(config); err != nil {
			t.Fatal(err)
		}
		more := &statsv3.Config_Tag{Name: name, ValueFormat: format}
		for _, c := range config.Counters {
			c.Stat.Tags = append(c.Stat.Tags, more)
		}
		for _, h := range config.Histograms {
			h.Stat.Tags = append(h.Stat.Tags, more)
		}
		l.ConfigType = &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(t, config)}
	}
}

// eventually reads the page until it has what is waited for: Envoy shows
// histograms only after it has merged them.
func eventually(t *testing.T, page http.Handler, has func(map[string]*dto.MetricFamily) bool) map[string]*dto.MetricFamily {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil))
		text, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		got, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if has(got) {
			return got
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not there:\n%s", text)
		}
	}
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	out, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func loopback(port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}
