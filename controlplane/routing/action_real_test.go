// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
)

// TestEnvoyActs shows with a real Envoy what only it can show: shares, retries,
// limits in time, faults, mirrors, CORS, headers.
func TestEnvoyActs(t *testing.T) {
	var flaky, slow, mirrored atomic.Int64
	upstreams := map[string]http.HandlerFunc{
		"v1": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "v1 ", r.Header["X-A"], r.Header["X-B"], r.Host)
		},
		"v2": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-secret", "1")
			fmt.Fprint(w, "v2")
		},
		"flaky": func(w http.ResponseWriter, _ *http.Request) {
			if flaky.Add(1)%3 != 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		},
		"slow": func(_ http.ResponseWriter, r *http.Request) {
			slow.Add(1)
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Second):
			}
		},
		"mirror": func(http.ResponseWriter, *http.Request) { mirrored.Add(1) },
	}
	addresses := map[string]netip.AddrPort{}
	for name, handler := range upstreams {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		addresses[name] = netip.MustParseAddrPort(s.Listener.Addr().String())
	}
	to := func(name string, weight uint32) model.Destination {
		return model.Destination{Host: model.Hostname(name), Weight: weight}
	}
	rule := func(path string, r model.HTTPRule) model.HTTPRule {
		r.Name, r.Matches = path[1:], []model.HTTPMatch{{Path: exact(path)}}
		return r
	}
	first := to("v1", 80)
	first.Headers.Request.Add = []model.Header{{Name: "x-b", Value: "first"}}
	second := to("v2", 20)
	second.Headers.Response.Remove = []string{"x-secret"}
	headers := model.HeaderChanges{
		Request:  model.HeaderOps{Set: []model.Header{{Name: "x-a", Value: "%REQ(x-from)% 50%"}, {Name: "host", Value: "set.example.com"}}, Remove: []string{"x-b"}},
		Response: model.HeaderOps{Add: []model.Header{{Name: "x-added", Value: "1"}}},
	}
	routing1 := &model.Routing{Origin: model.Origin{Kind: "VirtualService", Namespace: "ns", Name: "acts"}, HTTP: []model.HTTPRule{
		rule("/shares", model.HTTPRule{Destinations: []model.Destination{first, second, to("flaky", 0)}}),
		rule("/headers", model.HTTPRule{Destinations: []model.Destination{to("v1", 1)}, Headers: headers}),
		rule("/retried", model.HTTPRule{Destinations: []model.Destination{to("flaky", 1)}, Retries: &model.Retries{Attempts: 2, Statuses: []uint32{503}, AnyHost: true, Backoff: new(time.Millisecond)}}),
		rule("/tried-once", model.HTTPRule{Destinations: []model.Destination{to("flaky", 1)}, Retries: &model.Retries{}}),
		rule("/timeout", model.HTTPRule{Destinations: []model.Destination{to("slow", 1)}, Timeout: new(500 * time.Millisecond)}),
		rule("/each-try", model.HTTPRule{Destinations: []model.Destination{to("slow", 1)}, Retries: &model.Retries{Attempts: 2, On: []string{"reset"}, PerTryTimeout: new(300 * time.Millisecond), AnyHost: true, Backoff: new(time.Millisecond)}}),
		rule("/backend-timeout", model.HTTPRule{Destinations: []model.Destination{to("slow", 1)}, BackendTimeout: new(300 * time.Millisecond), Retries: &model.Retries{}}),
		rule("/abort", model.HTTPRule{Destinations: []model.Destination{to("v1", 1)}, Fault: &model.Fault{Abort: &model.Abort{HTTPStatus: 555, Percent: 30}}}),
		rule("/delay", model.HTTPRule{Destinations: []model.Destination{to("v1", 1)}, Fault: &model.Fault{Delay: &model.Delay{Fixed: 200 * time.Millisecond, Percent: 100}}}),
		rule("/mirror", model.HTTPRule{Destinations: []model.Destination{to("v1", 1)}, Mirrors: []model.Mirror{{Destination: to("mirror", 1), Percent: 100}}}),
		rule("/cors", model.HTTPRule{Destinations: []model.Destination{to("v1", 1)}, CORS: &model.CORS{
			Origins: []model.Match{{Kind: model.MatchRegex, Value: `https://[a-z]+\.example\.com`}}, Methods: []string{"GET", "PUT"}, MaxAge: new(time.Minute), Credentials: new(true),
		}}),
	}}
	c := routing.Context{Settings: settings(), Port: 80, At: model.Sidecars, Cluster: func(d model.Destination) (routing.Cluster, bool) {
		return routing.Cluster{Name: string(d.Host), Hash: destination.HashPolicies(nil)}, true
	}}
	routes, problems := routing.HTTP(c, []*model.Routing{routing1})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	proxy := serveTo(t, []*routev3.VirtualHost{{Name: "acts", Domains: []string{"*"}, Routes: routes}}, addresses)
	call := func(method, path string, header ...string) (int, http.Header, string) {
		t.Helper()
		return request(t, proxy, method, path, header...)
	}

	// The limits below are five standard deviations off: one run in a million fails by chance.
	const calls = 4500
	shares := map[string]int{}
	for range calls {
		_, h, body := call("GET", "/shares")
		shares[strings.Fields(body)[0]]++
		if strings.HasPrefix(body, "v1") != strings.Contains(body, "[first]") || h.Get("x-secret") != "" {
			t.Fatalf("headers of one destination: %v %s", h, body)
		}
	}
	if got := float64(shares["v2"]) / calls; got < 0.17 || got > 0.23 {
		t.Errorf("v2 gets %.1f%%, want 20%% within 3%%: %v", got*100, shares)
	}
	if _, h, body := call("GET", "/headers", "x-from", "me", "x-b", "gone"); body != "v1 [me 50%] []set.example.com" || h.Get("x-added") != "1" {
		t.Errorf("headers: %q %v", body, h)
	}
	if status, _, _ := call("GET", "/retried"); status != 200 || flaky.Load() != 3 {
		t.Errorf("retries: %d after %d tries, want 200 after 3", status, flaky.Load())
	}
	if status, _, _ := call("GET", "/tried-once"); status != 503 || flaky.Load() != 4 {
		t.Errorf("no retries: %d after %d tries, want 503 after one more", status, flaky.Load()-3)
	}
	for path, tries := range map[string]int64{"/timeout": 1, "/each-try": 3, "/backend-timeout": 1} {
		slow.Store(0)
		status, _, _ := call("GET", path)
		// The last try may still be on its way when Envoy gives it up.
		within(t, func() bool { return slow.Load() >= tries })
		if status != 504 || slow.Load() != tries {
			t.Errorf("%s: %d after %d tries, want 504 after %d", path, status, slow.Load(), tries)
		}
	}
	aborted := 0
	for range calls {
		if status, _, _ := call("GET", "/abort"); status == 555 {
			aborted++
		}
	}
	if got := float64(aborted) / calls; got < 0.26 || got > 0.34 {
		t.Errorf("%.1f%% are aborted, want 30%%", got*100)
	}
	start := time.Now()
	// Envoy reckons from when its event loop woke, which is some time before the call came.
	if status, _, _ := call("GET", "/delay"); status != 200 || time.Since(start) < 150*time.Millisecond {
		t.Errorf("delay: %d after %v", status, time.Since(start))
	}
	for range 20 {
		call("GET", "/mirror")
	}
	within(t, func() bool { return mirrored.Load() >= 20 })
	if n := mirrored.Load(); n != 20 {
		t.Errorf("%d of 20 are mirrored", n)
	}
	_, h, _ := call("OPTIONS", "/cors", "Origin", "https://a.example.com", "Access-Control-Request-Method", "PUT")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://a.example.com", "Access-Control-Allow-Methods": "GET,PUT", "Access-Control-Max-Age": "60", "Access-Control-Allow-Credentials": "true",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, h, _ = call("OPTIONS", "/cors", "Origin", "https://evil.org", "Access-Control-Request-Method", "PUT"); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin is allowed: %v", h)
	}
}

// within a minute something is so, or the test goes on as it is.
func within(t *testing.T, is func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			return
		}
	}
}
