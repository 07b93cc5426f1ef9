// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/patches"
)

// admin is a page of Envoy's administration interface that must have some parts.
func (p *proxy) admin(path string, parts ...string) error {
	_, body, err := get(http.MethodGet, p.url(p.settings.AdminPort, path))
	for _, part := range parts {
		if err == nil && !strings.Contains(body, part) {
			err = fmt.Errorf("%s has no %q:\n%.2000s", path, part, body)
		}
	}
	return err
}

// TestConfiguredProxy: what ProxyConfigs say reaches a real Envoy.
func TestConfiguredProxy(t *testing.T) {
	c := newStandIn(t, time.Hour)
	s := settings(t, c)
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = statsd.Close() })
	s.Concurrency, s.FlushKilobytes = 3, 8
	s.Environment = []string{"GREETING=from the pod"}
	s.Runtime = map[string]string{"my.runtime": "7"}
	s.Stats.Statsd = netip.MustParseAddrPort(statsd.LocalAddr().String())
	port := freePort(t)
	check(t, c.listeners.UpdateResource("greeter", greeter(t, port)))
	p := run(t, s)
	eventually(t, "ready", p.ready)
	eventually(t, "workers", func() error { return p.admin("/server_info", `"concurrency": 3`) })
	eventually(t, "runtime", func() error { return p.admin("/runtime", `"my.runtime"`, `"final_value": "7"`) })
	eventually(t, "a variable in a header", func() error {
		response, err := http.Get(p.url(port, "/"))
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if got := response.Header.Get("x-greeting"); got != "from the pod" {
			return fmt.Errorf("header %q", got)
		}
		return nil
	})
	check(t, statsd.SetReadDeadline(time.Now().Add(90*time.Second)))
	if n, _, err := statsd.ReadFrom(make([]byte, 4096)); err != nil || n == 0 {
		t.Errorf("statistics: %d bytes, %v", n, err)
	}
}

// greeter answers with a header that has a variable of Envoy's environment in it.
func greeter(t *testing.T, port uint16) types.Resource {
	manager := packed(t, &hcmv3.HttpConnectionManager{
		StatPrefix:  "greeter",
		HttpFilters: []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &routerv3.Router{})}}},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			ResponseHeadersToAdd: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-greeting", Value: "%ENVIRONMENT(GREETING)%"}}},
			VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}},
			}}}},
		}},
	})
	return &listenerv3.Listener{
		Name: "greeter",
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		}}},
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager}}}}},
	}
}

// withCluster is a patch that adds a cluster to the bootstrap.
func withCluster(name, socket string) *bootstrapv3.Bootstrap {
	c := &clusterv3.Cluster{Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, ConnectTimeout: durationpb.New(time.Second)}
	if socket != "" {
		c.TransportSocket = &corev3.TransportSocket{Name: socket}
	}
	return &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: "another"},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{c}},
	}
}

// told waits for what the agent says of patches.
func (c *standIn) told(t *testing.T, parts ...string) {
	t.Helper()
	eventually(t, "an answer to the patches", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.answered == 0 {
			return errors.New("none")
		}
		for _, part := range parts {
			if !strings.Contains(c.refused, part) {
				return fmt.Errorf("refused %q has no %q", c.refused, part)
			}
		}
		return nil
	})
}

// hasClusters compares the static clusters that tests add with those wanted.
func (p *proxy) hasClusters(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, "clusters", func() error {
		_, body, err := get(http.MethodGet, p.url(p.settings.AdminPort, "/clusters"))
		if err != nil {
			return err
		}
		var got []string
		for _, name := range []string{"first", "bad", "third"} {
			if strings.Contains(body, name+"::") {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	})
}

// TestPatchedBootstrap: patches reach Envoy before it starts; one that it does not
// take costs only itself, and is told.
func TestPatchedBootstrap(t *testing.T) {
	c := newStandIn(t, time.Hour)
	check(t, c.bootstraps.UpdateResource("00000/MERGE/shop/first/0", withCluster("first", "")))
	check(t, c.bootstraps.UpdateResource("00001/MERGE/shop/bad/0", withCluster("bad", "no.such.socket")))
	check(t, c.bootstraps.UpdateResource("00002/MERGE/shop/third/0", withCluster("third", "")))
	p := run(t, settings(t, c))
	eventually(t, "ready", p.ready)
	p.hasClusters(t, "first", "third")
	c.told(t, "00001/MERGE/shop/bad/0", "no.such.socket")
	if err := p.admin("/server_info", `"id": "sidecar~127.0.0.1~reviews-1.shop~shop.svc.cluster.local"`); err != nil {
		t.Error(err)
	}
	t.Run("Mended", func(t *testing.T) {
		// It is in force when the pod starts again; the control plane hears at once.
		check(t, c.bootstraps.UpdateResource("00001/MERGE/shop/bad/0", withCluster("bad", "")))
		eventually(t, "no refusal any more", func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.refused != "" {
				return errors.New(c.refused)
			}
			return nil
		})
		p.hasClusters(t, "first", "third")
	})
}

// TestPatchesOfTheLastStart: a container that starts again while the control plane
// doesn't answer has the bootstrap that it had.
func TestPatchesOfTheLastStart(t *testing.T) {
	c := newStandIn(t, time.Hour)
	c.old = true
	s := settings(t, c)
	check(t, patches.Save(filepath.Join(s.Directory, "patches.json"), []bootstrap.Patch{{Name: "00000/MERGE/shop/first/0", Value: withCluster("first", "")}}))
	p := run(t, s)
	eventually(t, "ready", p.ready)
	p.hasClusters(t, "first")
}

// TestEnvoyThatEndedWithPatches starts without them when the container comes back.
func TestEnvoyThatEndedWithPatches(t *testing.T) {
	c := newStandIn(t, time.Hour)
	check(t, c.bootstraps.UpdateResource("00000/MERGE/shop/first/0", withCluster("first", "")))
	s := settings(t, c)
	check(t, os.WriteFile(filepath.Join(s.Directory, "patches-start"), nil, 0o600))
	p := run(t, s)
	eventually(t, "ready", p.ready)
	p.hasClusters(t)
	c.told(t, "shop/first", "ended as soon as it was started")
}

// TestNoPatches: neither a control plane that knows none nor a file that can't be
// read keeps the proxy from starting.
func TestNoPatches(t *testing.T) {
	c := newStandIn(t, time.Hour)
	c.old = true
	s := settings(t, c)
	check(t, os.WriteFile(filepath.Join(s.Directory, "patches.json"), []byte("{"), 0o600))
	p := run(t, s)
	eventually(t, "ready", p.ready)
	p.hasClusters(t)
}

// TestKeptPatches reads what was written.
func TestKeptPatches(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kept")
	if got, err := patches.Load(file); err != nil || len(got) != 0 {
		t.Fatalf("without a file: %v %v", got, err)
	}
	check(t, patches.Save(file, []bootstrap.Patch{{Name: "a", Replace: true, Value: withCluster("x", "")}, {Name: "b", Value: withCluster("y", "")}}))
	got, err := patches.Load(file)
	check(t, err)
	if len(got) != 2 || got[0].Name != "a" || !got[0].Replace || got[1].Replace || got[1].Value.GetStaticResources().GetClusters()[0].GetName() != "y" {
		t.Errorf("read %v", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
