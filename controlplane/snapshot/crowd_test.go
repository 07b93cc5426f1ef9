// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestCrowd routes many hosts alike that no service has: beyond envoy.Crowd of them
// they share one virtual host, and one that is routed otherwise has its own.
func TestCrowd(t *testing.T) {
	for _, n := range []int{envoy.Crowd, envoy.Crowd + 1} {
		m := world(3, 1)
		to := []model.HTTPRule{{Destinations: []model.Destination{{Host: m.Services[0].Service.Hostname, Port: 80, Weight: 1}}}}
		all := &model.Routing{Origin: model.Origin{Kind: "VirtualService", Namespace: "a", Name: "all"}, Gateways: []model.GatewayRef{model.Sidecars}, HTTP: to}
		for i := range n {
			all.Hosts = append(all.Hosts, fmt.Sprintf("h%05d.example.com", i))
		}
		other := &model.Routing{Origin: model.Origin{Kind: "VirtualService", Namespace: "a", Name: "other"}, Gateways: []model.GatewayRef{model.Sidecars}, HTTP: to, Hosts: []string{"other.example.com"}}
		m.Routings = []*model.Routing{all, other}
		s := snapshot.Build(m, nil)
		r := s.View(&model.Proxy{Type: model.Sidecar, Namespace: "a", Name: "p"}).Get(envoy.RouteType, "80")
		if r == nil {
			t.Fatal("there are no routes")
		}
		message, err := r.Message()
		config, ok := message.(*routev3.RouteConfiguration)
		if err != nil || !ok {
			t.Fatalf("%T, %v", message, err)
		}
		hosts, domains := 0, map[string]int{}
		for _, v := range config.GetVirtualHosts() {
			for _, d := range v.GetDomains() {
				domains[d]++
			}
			if d := v.GetDomains()[0]; d == "other.example.com" || d[0] == 'h' && d[6:] == ".example.com" {
				hosts++
			}
		}
		want := n + 1
		if n > envoy.Crowd {
			want = 2
		}
		if hosts != want {
			t.Errorf("%d hosts have %d virtual hosts, want %d", n+1, hosts, want)
		}
		for _, h := range append(all.Hosts, "other.example.com") {
			if domains[h] != 1 {
				t.Errorf("%q is a domain %d times", h, domains[h])
			}
		}
		// One host less, and all is as if it had never been.
		fewer := *all
		fewer.Hosts = all.Hosts[:envoy.Crowd-1]
		next := *m
		next.Routings = []*model.Routing{&fewer, other}
		a := snapshot.Build(&next, s).View(&model.Proxy{Type: model.Sidecar, Namespace: "a", Name: "p"}).Get(envoy.RouteType, "80")
		b := snapshot.Build(&next, nil).View(&model.Proxy{Type: model.Sidecar, Namespace: "a", Name: "p"}).Get(envoy.RouteType, "80")
		if a.Version != b.Version {
			t.Error("what was before changes what is")
		}
	}
}
