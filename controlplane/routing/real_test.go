// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/test/envoybin"
	"github.com/isthmesh/isthmesh/test/simulate"
)

// TestEnvoyDoesAsSimulated sends requests through a real Envoy whose rules get
// into each other's way, and compares what becomes of them with what
// test/simulate says.
func TestEnvoyDoesAsSimulated(t *testing.T) {
	const hosts, calls = 150, 30
	var virtual []*routev3.VirtualHost
	for i := range hosts {
		host := fmt.Sprintf("h%d.example.com", i)
		c := settled(80)
		c.At = model.GatewayRef{Namespace: "shop", Name: "gateway"}
		routes, problems := routing.HTTP(c, colliding(host).Example(i))
		for _, p := range problems {
			if p.Reason != "UnknownDestination" && p.Reason != "Conflict" {
				t.Errorf("%s: %+v", host, p)
			}
		}
		virtual = append(virtual, &routev3.VirtualHost{Name: host, Domains: []string{host}, Routes: routes})
	}
	proxy := serve(t, virtual)
	requests := requests()
	seen := map[string]int{}
	for i, v := range virtual {
		for j := range calls {
			call := requests.Example(i*calls + j)
			call.Host = strings.Replace(call.Host, "host", v.GetName(), 1)
			want := wanted(v, call)
			seen[want[:3]]++
			if d := cmp.Diff(want, got(t, proxy, call)); d != "" {
				t.Fatalf("%+v (-simulated +real):\n%s\nroutes %v", call, d, v.GetRoutes())
			}
		}
	}
	// A generator that only makes 404s would show nothing.
	for _, status := range []string{"200", "201", "301", "302", "404", "500"} {
		if seen[status] < 20 {
			t.Errorf("only %d answers are %s: %v", seen[status], status, seen)
		}
	}
}

// settled: real destinations are one server that says what it was asked.
func settled(port uint16) routing.Context {
	return routing.Context{
		Settings: settings(), Port: port, At: model.Sidecars, Namespace: "shop",
		Cluster: func(d model.Destination) (routing.Cluster, bool) {
			return routing.Cluster{Name: "echo"}, d.Host == "echo"
		},
	}
}

// wanted answer by simulation: status, rule, location, body.
func wanted(v *routev3.VirtualHost, c simulate.Call) string {
	r := simulate.Route(v, c)
	if r == nil {
		return "404"
	}
	a := simulate.Answer(r, c)
	switch {
	case a.Status != 0:
		return fmt.Sprintf("%d %s %s %s", a.Status, a.Rule, a.Location, a.Body)
	case r.GetRoute().GetCluster() != "echo":
		status := map[routev3.RouteAction_ClusterNotFoundResponseCode]int{routev3.RouteAction_SERVICE_UNAVAILABLE: 503, routev3.RouteAction_INTERNAL_SERVER_ERROR: 500}
		return fmt.Sprintf("%d %s  ", status[r.GetRoute().GetClusterNotFoundResponseCode()], a.Rule)
	default:
		return fmt.Sprintf("200 %s  %s %s", a.Rule, a.Authority, a.Path)
	}
}

// request through a proxy: status, headers and body of the answer.
func request(t *testing.T, proxy, method, path string, header ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+proxy+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(body)
}

func got(t *testing.T, proxy string, c simulate.Call) string {
	t.Helper()
	header := []string{"Host", c.Host}
	for k, v := range c.Headers {
		header = append(header, k, v)
	}
	status, answer, body := request(t, proxy, c.Method, c.Path, header...)
	rule, location := answer.Get("x-rule"), answer.Get("Location")
	switch {
	case status == http.StatusCreated:
		// Envoy adds one of its own.
		location = ""
	case status == http.StatusNotFound && rule == "":
		return "404"
	case status == http.StatusServiceUnavailable:
		body = ""
	}
	return fmt.Sprintf("%d %s %s %s", status, rule, location, body)
}

// serve routes with a real Envoy; the answer is its address.
func serve(t *testing.T, virtual []*routev3.VirtualHost) string {
	t.Helper()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"x-a", "x-b", "x-user"} {
			if v := r.Header.Values(name); len(v) > 0 {
				w.Header().Set("got-"+name, strings.Join(v, "|"))
			}
		}
		w.Header().Set("x-answer", "1")
		fmt.Fprintf(w, "%s %s", r.Host, r.RequestURI)
	}))
	t.Cleanup(echo.Close)
	return serveTo(t, virtual, map[string]netip.AddrPort{"echo": netip.MustParseAddrPort(echo.Listener.Addr().String())})
}

// ours is an address of the loopback that no other test listens at: whatever port is
// chosen, nobody else has it when Envoy listens, however long that takes.
const ours = "127.0.0.79"

// serveTo clusters of one server each.
func serveTo(t *testing.T, virtual []*routev3.VirtualHost, servers map[string]netip.AddrPort) string {
	t.Helper()
	port := envoybin.FreePort(t)
	manager := envoy.HTTPManager(settings(), "test")
	manager.HttpFilters = append(routing.Filters(), manager.HttpFilters...)
	for _, v := range virtual {
		v.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-rule", Value: "%ROUTE_NAME%"}}}
	}
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
		Name: "test", VirtualHosts: virtual, IgnorePortInHostMatching: true, ValidateClusters: wrapperspb.Bool(false),
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(routing.MaxBody),
	}}
	var clusters []*clusterv3.Cluster
	for name, at := range servers {
		clusters = append(clusters, &clusterv3.Cluster{
			Name: name, ConnectTimeout: envoy.Milliseconds(5000),
			LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
				LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: envoy.Address(at.Addr().String(), at.Port())}}}},
			}}},
		})
	}
	envoybin.Start(t, &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{
		Listeners: []*listenerv3.Listener{{
			Name: "test", Address: envoy.Address(ours, port),
			FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{envoy.HTTPManagerFilter(manager)}}},
		}},
		Clusters: clusters,
	}}, net.JoinHostPort(ours, fmt.Sprint(port)))
	return net.JoinHostPort(ours, fmt.Sprint(port))
}

// colliding routings on one host, of both APIs.
func colliding(host string) *rapid.Generator[[]*model.Routing] {
	path := rapid.Custom(func(t *rapid.T) model.Match {
		kind := rapid.SampledFrom([]model.MatchKind{model.MatchAny, model.MatchExact, model.MatchPrefix, model.MatchPathPrefix, model.MatchPathPrefix, model.MatchRegex, model.MatchSuffix, model.MatchTemplate}).Draw(t, "kind")
		values := rapid.SampledFrom([]string{"/", "/foo", "/foo/", "/foo/bar", "/FOO", "/foob"})
		switch kind {
		case model.MatchRegex:
			values = rapid.SampledFrom([]string{"/foo.*", "/[a-z]+", "(?i)/foo/BAR", ""})
		case model.MatchTemplate:
			values = rapid.SampledFrom([]string{"/{*}", "/foo/{**}", "/foo/{*}"})
		}
		return model.Match{Kind: kind, Value: values.Draw(t, "path")}
	})
	text := rapid.Custom(func(t *rapid.T) model.Match {
		m := model.Match{
			Kind:       rapid.SampledFrom([]model.MatchKind{model.MatchAny, model.MatchAny, model.MatchExact, model.MatchPrefix, model.MatchSuffix, model.MatchRegex, model.MatchPresent}).Draw(t, "kind"),
			Value:      rapid.SampledFrom([]string{"a", "ab", "A", ""}).Draw(t, "value"),
			IgnoreCase: rapid.Bool().Draw(t, "ignore case"),
		}
		if m.Kind == model.MatchRegex {
			m.Value = rapid.SampledFrom([]string{".*", "a+", "(a|b)*", ""}).Draw(t, "regex")
		}
		return m
	})
	match := rapid.Custom(func(t *rapid.T) model.HTTPMatch {
		m := model.HTTPMatch{Path: path.Draw(t, "path"), IgnorePathCase: rapid.Bool().Draw(t, "ignore case")}
		switch rapid.IntRange(0, 7).Draw(t, "also") {
		case 0:
			m.Method = model.Match{Kind: model.MatchExact, Value: "POST"}
		case 1, 2:
			m.Headers = []model.NamedMatch{{Name: "x-user", Match: text.Draw(t, "header"), Not: rapid.Bool().Draw(t, "not")}}
		case 3:
			m.Query = []model.NamedMatch{{Name: "q", Match: text.Draw(t, "query")}}
		case 4:
			m.Authority = model.Match{Kind: model.MatchSuffix, Value: ":8080"}
		case 5:
			m.Scheme = model.Match{Kind: model.MatchExact, Value: "http"}
		}
		return m
	})
	rule := rapid.Custom(func(t *rapid.T) model.HTTPRule {
		r := model.HTTPRule{Name: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "name"), Matches: rapid.SliceOfN(match, 0, 2).Draw(t, "matches")}
		where := rapid.SampledFrom([]string{"/", "/new", "/new/", ""})
		switch rapid.IntRange(0, 9).Draw(t, "action") {
		case 0:
			r.Direct = &model.DirectResponse{Status: 201, Body: []byte("hello")}
		case 1:
		case 2, 3, 4:
			r.Redirect = &model.Redirect{
				Scheme: rapid.SampledFrom([]string{"", "http", "https"}).Draw(t, "scheme"), Host: rapid.SampledFrom([]string{"", "other.example.com"}).Draw(t, "host"),
				Port: rapid.SampledFrom([]uint16{0, 80, 443, 8080}).Draw(t, "port"), Status: rapid.SampledFrom([]uint32{301, 302}).Draw(t, "status"),
				KeepPort: rapid.Bool().Draw(t, "keep port"),
			}
			r.Redirect.PortFromScheme = !r.Redirect.KeepPort
			switch rapid.IntRange(0, 2).Draw(t, "redirect of") {
			case 0:
				r.Redirect.Path = new(rapid.SampledFrom([]string{"/new", "/new?x=1"}).Draw(t, "path"))
			case 1:
				r.Redirect.PrefixPath = new(where.Draw(t, "prefix"))
			}
		default:
			r.Destinations = []model.Destination{{Host: rapid.SampledFrom([]model.Hostname{"echo", "echo", "echo", "echo", "unknown"}).Draw(t, "host"), Weight: 1}}
			switch rapid.IntRange(0, 5).Draw(t, "rewrite") {
			case 0:
				r.Rewrite = &model.Rewrite{PrefixPath: new(where.Draw(t, "prefix"))}
			case 1:
				r.Rewrite = &model.Rewrite{Path: new("/whole")}
			case 2:
				r.Rewrite = &model.Rewrite{Pattern: "^/([a-z]+)(.*)", Substitution: `/x\2/\1`}
			case 3:
				r.Rewrite = &model.Rewrite{Authority: "rewritten.example.com"}
			}
		}
		return r
	})
	return rapid.Custom(func(t *rapid.T) []*model.Routing {
		var out []*model.Routing
		for i := range rapid.IntRange(1, 3).Draw(t, "routings") {
			out = append(out, &model.Routing{
				Origin: model.Origin{Kind: "HTTPRoute", Namespace: "shop", Name: fmt.Sprint("r", i), CreatedUnix: int64(i)}, Hosts: []string{host},
				BySpecificity: rapid.Bool().Draw(t, "by specificity"), HTTP: rapid.SliceOfN(rule, 1, 3).Draw(t, "rules"),
			})
		}
		return out
	})
}

// requests to "host", which is replaced.
func requests() *rapid.Generator[simulate.Call] {
	return rapid.Custom(func(t *rapid.T) simulate.Call {
		c := simulate.Call{
			Host:    rapid.SampledFrom([]string{"host", "host:80", "host:8080"}).Draw(t, "host"),
			Method:  rapid.SampledFrom([]string{"GET", "GET", "POST"}).Draw(t, "method"),
			Path:    rapid.SampledFrom([]string{"/", "/foo", "/foo/", "/foo/bar", "/foobar", "/FOO/bar", "/Foo", "/other"}).Draw(t, "path"),
			Headers: map[string]string{},
		}
		if q := rapid.SampledFrom([]string{"", "?q=a", "?q=ab&q=b", "?x", "?q", "?q="}).Draw(t, "query"); q != "" {
			c.Path += q
		}
		if v := rapid.SampledFrom([]string{"absent", "a", "ab", "A", "b", ""}).Draw(t, "x-user"); v != "absent" {
			c.Headers["x-user"] = v
		}
		return c
	})
}
