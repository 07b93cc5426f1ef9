// SPDX-License-Identifier: Apache-2.0

package standardmetrics

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

// TestRules: what a real Envoy makes of values by the rules. Names of a server outside
// of the mesh, of which no CA of a mesh packed any, are in no series.
func TestRules(t *testing.T) {
	// Each pair is a value and what is left of it.
	values := map[rule]map[string]string{
		packed: {
			"reviews-v2|shop|reviews|v2|reviews|v2|east":              "reviews-v2|shop|reviews|v2|reviews|v2|east",
			"istiod.istio-system.svc,istiod|istio-system|||istiod||w": "istiod.istio-system.svc,istiod|istio-system|||istiod||w",
			"www.example.com,example.com,*.example.net":               "",
			"reviews.shop.svc.cluster.local":                          "",
			"":                                                        "",
		},
		grpc: {
			"application/grpc":       "grpc",
			"application/grpc+proto": "grpc",
			"application/grpc-web":   "http",
			"text/plain":             "http",
			"":                       "http",
		},
	}
	tags := []*statsv3.Config_Tag{
		{Name: "packed", ValueFormat: "%REQ(x-packed)%", Rules: packed.matcher()},
		{Name: "grpc", ValueFormat: "%REQ(x-grpc)%", Rules: grpc.matcher()},
		{Name: "none", ValueFormat: "%REQ(x-none)%", Rules: none.matcher()},
	}
	manage, port := envoybin.FreePort(t), envoybin.FreePort(t)
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix: "x",
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{VirtualHosts: []*routev3.VirtualHost{{
			Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: http.StatusOK}},
			}},
		}}}},
		HttpFilters: []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: envoy.Any(&routerv3.Router{})}}},
		AccessLog: []*accesslogv3.AccessLog{logger(at(datav3.AccessLogType_DownstreamEnd), &statsv3.Config{
			Counters: []*statsv3.Config_Counter{one(&statsv3.Config_Stat{Name: "istio_tried", Tags: tags})},
		})},
	}
	envoybin.Start(t, &bootstrapv3.Bootstrap{
		Admin: &bootstrapv3.Admin{Address: envoy.Address("127.0.0.1", manage)},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Listeners: []*listenerv3.Listener{{
			Name: "x", Address: envoy.Address("127.0.0.1", port),
			FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{envoy.HTTPManagerFilter(manager)}}},
		}}},
	}, fmt.Sprintf("127.0.0.1:%d", port))

	want := map[string]string{}
	tried := 0
	for r, header := range map[rule]string{packed: "x-packed", grpc: "x-grpc"} {
		for value, left := range values[r] {
			tried++
			number := fmt.Sprint(header, tried)
			ask(t, fmt.Sprintf("http://127.0.0.1:%d/", port), map[string]string{header: value, "x-none": number})
			series := map[string]string{"none": number, "grpc": "http"}
			if left != "" {
				series[strings.TrimPrefix(header, "x-")] = left
			}
			want[number] = fmt.Sprint(series)
		}
	}
	deadline, tick := time.After(time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		got := series(t, fmt.Sprintf("http://127.0.0.1:%d/stats/prometheus", manage))
		d := cmp.Diff(want, got)
		if d == "" {
			return
		}
		select {
		case <-tick.C: // what is asked is counted after it is answered
		case <-deadline:
			t.Fatalf("series (-want +got):\n%s", d)
		}
	}
}

// series that are counted, by their tag none.
func series(t *testing.T, page string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(ask(t, page, nil)) {
		text, ours := strings.CutPrefix(line, "envoy_istio_tried{")
		text, once := strings.CutSuffix(text, "} 1\n")
		if !ours || !once {
			continue
		}
		tags := map[string]string{}
		for _, tag := range strings.Split(strings.TrimSuffix(text, `"`), `",`) {
			name, value, _ := strings.Cut(tag, `="`)
			tags[name] = value
		}
		out[tags["none"]] = fmt.Sprint(tags)
	}
	return out
}

func ask(t *testing.T, url string, headers map[string]string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
