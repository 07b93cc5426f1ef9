// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/xds"
)

// TestEnvoy: a real Envoy, by either protocol, is led through what goes wrong
// most easily. Endpoints are waited for without end, as Istio configures it.
func TestEnvoy(t *testing.T) {
	for _, api := range []string{"DELTA_GRPC", "GRPC"} {
		t.Run(api, func(t *testing.T) { leadEnvoy(t, api) })
	}
}

func leadEnvoy(t *testing.T, api string) {
	e := startEnvoy(t, api)
	web := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		t.Cleanup(s.Close)
		return s
	}
	a, b := web("a"), web("b")
	says := func(want string) {
		t.Helper()
		e.until("answer "+want, func() error {
			got, err := e.call()
			if err == nil && got != want {
				err = fmt.Errorf("answer is %q", got)
			}
			return err
		})
	}

	s := site{clusters: map[string]int{"a": 1}, endpoints: map[string]string{"a": addr(a)}, listener: e.port, to: "a"}
	e.push(s)
	says("a")

	t.Log("a cluster that changes is warm again though its endpoints don't change")
	s.clusters = map[string]int{"a": 2}
	e.push(s)
	e.until("cluster a has its second version", func() error { return e.active("a", 2) })

	t.Log("a route changes from a cluster that goes to one that comes, and no call fails")
	var calls, failed atomic.Int64
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			calls.Add(1)
			if got, err := e.call(); err != nil || got != "a" && got != "b" {
				failed.Add(1)
				t.Logf("call: %q, %v", got, err)
			}
		}
	}()
	for i := range 10 {
		name, server := "b", b
		if i%2 == 1 {
			name, server = "a", a
		}
		s = site{clusters: map[string]int{name: i}, endpoints: map[string]string{name: addr(server)}, listener: e.port, to: name}
		e.push(s)
		says(name)
	}
	close(stop)
	<-done
	if failed.Load() > 0 {
		t.Errorf("%d of %d calls failed", failed.Load(), calls.Load())
	}

	t.Log("it reconnects with what it has, is sent nothing, and gets what changes later")
	// The cluster that nothing leads to any more goes last, after the route has changed.
	e.until("it has nothing left to be sent", e.synced)
	before, cut := e.pushes(), time.Now()
	e.cut()
	e.until("it has asked for everything again", func() error { return e.syncedSince(cut) })
	// State of the world has no way to tell what endpoints and routes it has.
	if sent := e.pushes() - before; api == "DELTA_GRPC" && sent != 0 {
		t.Errorf("%d responses were sent after it reconnected", sent)
	}
	s.endpoints = map[string]string{"a": addr(b)}
	e.push(s)
	says("b")

	t.Log("the connection breaks after a changed cluster, before its endpoints")
	e.cutAfter(1)
	s.clusters = map[string]int{"a": 77}
	e.push(s)
	e.until("cluster a has its last version", func() error { return e.active("a", 77) })
	says("b")

	t.Log("a resource it rejects")
	s.to = "" // a route without action
	e.push(s)
	e.until("it has rejected the route", func() error {
		for _, p := range e.server.Proxies() {
			for _, ty := range p.Types {
				if ty.TypeURL == envoy.RouteType && ty.Nack != nil && ty.State == xds.Stale {
					if fmt.Sprint(ty.Nack.Resources) != "[r]" {
						return fmt.Errorf("it blames %v", ty.Nack.Resources)
					}
					return nil
				}
			}
		}
		return errors.New("no NACK")
	})
	says("b")
	s.to = "a"
	e.push(s)
	e.until("it is in step again", e.synced)
}

func addr(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

// site is a small configuration: clusters by version, and one listener whose
// route leads to one of them.
type site struct {
	clusters  map[string]int
	endpoints map[string]string
	listener  int
	to        string
}

func (s site) world() (*world, error) {
	resources := map[string][]*envoy.Resource{}
	add := func(typeURL, name string, m proto.Message) error {
		r, err := envoy.NewResource(name, m)
		resources[typeURL] = append(resources[typeURL], r)
		return err
	}
	ads := &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
	var errs []error
	for name, v := range s.clusters {
		errs = append(errs, add(envoy.ClusterType, name, &clusterv3.Cluster{
			Name: name, AltStatName: fmt.Sprintf("v%d", v), ConnectTimeout: durationpb.New(5 * time.Second),
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
			EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads},
		}))
	}
	for name, address := range s.endpoints {
		host, port, _ := strings.Cut(address, ":")
		errs = append(errs, add(envoy.EndpointType, name, &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socket(host, number(port))}},
			}}}},
		}))
	}
	router, err := anypb.New(&routerv3.Router{})
	errs = append(errs, err)
	manager, err := anypb.New(&hcmv3.HttpConnectionManager{
		StatPrefix:     "in",
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: ads, RouteConfigName: "r"}},
		HttpFilters:    []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router}}},
	})
	errs = append(errs, err,
		add(envoy.ListenerType, "l", &listenerv3.Listener{
			Name: "l", Address: socket(ours, s.listener),
			FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager}}}}},
		}),
		add(envoy.RouteType, "r", s.route()))
	view := &envoy.View{Types: map[string]envoy.Layers{}}
	for typeURL, list := range resources {
		layer, _ := envoy.NewLayer(list)
		view.Types[typeURL] = envoy.Layers{Shared: layer}
	}
	return &world{views: map[string]*envoy.View{"": view}}, errors.Join(errs...)
}

func (s site) route() *routev3.RouteConfiguration {
	r := &routev3.Route{Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}}
	if s.to != "" {
		r.Action = &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: s.to}}}
	}
	return &routev3.RouteConfiguration{Name: "r", VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{r}}}}
}

func socket(host string, port int) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)}, //nolint:gosec // a port
	}}}
}
