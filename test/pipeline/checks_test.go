// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	"google.golang.org/grpc"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/hds"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

const (
	eastOne, eastTwo = "10.244.2.9", "10.244.2.10"
	westGateways     = "10.244.1.8/30" // 10.244.1.9 and 10.244.1.10
)

var checks = &model.GatewayChecks{IntervalMillis: 1000, TimeoutMillis: 600, UnhealthyThreshold: 3, HealthyThreshold: 2}

// control is the part of west's control plane that has gateways checked; it can
// be restarted.
type control struct {
	healthv3.UnimplementedHealthDiscoveryServiceServer
	t       *testing.T
	mesh    *model.Mesh
	current atomic.Pointer[hds.Server]
}

func (c *control) Authenticate(context.Context) (*authn.Caller, error) {
	return &authn.Caller{Namespace: "istio-system", ServiceAccount: "istio-eastwestgateway"}, nil
}

// restart returns what the new one says before anybody has told it anything.
func (c *control) restart() (unreached string) {
	c.t.Helper()
	s, err := hds.New(hds.Options{Authenticator: c})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(cancel)
	go func() { _ = s.Run(ctx) }()
	s.Update(c.mesh)
	unreached = unreachedBy(s)
	c.current.Store(s)
	return unreached
}

// StreamHealthCheck lasts until the control plane is another one.
func (c *control) StreamHealthCheck(g healthv3.HealthDiscoveryService_StreamHealthCheckServer) error {
	s := c.current.Load()
	return s.StreamHealthCheck(&mortal{g, func() bool { return c.current.Load() == s }})
}

type mortal struct {
	healthv3.HealthDiscoveryService_StreamHealthCheckServer
	lives func() bool
}

func (m *mortal) Recv() (*healthv3.HealthCheckRequestOrEndpointHealthResponse, error) {
	r, err := m.HealthDiscoveryService_StreamHealthCheckServer.Recv()
	if !m.lives() {
		return nil, io.EOF
	}
	return r, err
}

// unreached addresses, joined by spaces.
func (c *control) unreached() string { return unreachedBy(c.current.Load()) }

func unreachedBy(s *hds.Server) string {
	var out []string
	for _, g := range s.Unreached() {
		out = append(out, g.Address)
	}
	return strings.Join(out, " ")
}

// TestGatewayChecks has west's gateways check those of east, without any request
// of a user, and sees where requests go then.
func TestGatewayChecks(t *testing.T) {
	const identity = "spiffe://%s.example/ns/istio-system/sa/istio-eastwestgateway"
	root, fabric := rig.NewRoot(t), rig.New(t)
	checked := func(text string) *model.Mesh {
		m := mesh(t, text)
		m.Settings.GatewayChecks = checks
		return m
	}
	gateway := func(member, name, address string, register func(grpc.ServiceRegistrar), m *model.Mesh) (*rig.Pod, *rig.Proxy) {
		id := fmt.Sprintf(identity, member)
		leaf := root.Leaf(id)
		pod := fabric.Pod("istio-system", name, address)
		e := pod.Envoy(rig.Options{Type: "router", Labels: map[string]string{"istio": "eastwestgateway"}, Identity: id, Leaf: &leaf, Checks: register})
		e.Push(snapshot.Build(m, nil))
		return pod, e
	}

	eastern := checked(fmt.Sprintf(east, "HTTP"))
	one, answersOne := gateway("east", "east-1", eastOne, nil, eastern)
	two, answersTwo := gateway("east", "east-2", eastTwo, nil, eastern)
	for i := 1; i <= 3; i++ {
		pod := fabric.Pod("shop", fmt.Sprintf("reviews-%d", i), fmt.Sprintf("10.244.2.%d", i))
		leaf := root.Leaf("spiffe://east.example/ns/shop/sa/reviews")
		pod.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://east.example/ns/shop/sa/reviews", Leaf: &leaf, Redirect: true}).Push(snapshot.Build(eastern, nil))
		echo(pod, 8080)
	}

	// western is what ingest makes of the imports and of what doesn't answer.
	western := func(unreached string) *model.Mesh {
		text := "member west network=n1 trust=west.example\n" +
			"service shop/reviews vip=240.240.0.7 port=80/HTTP imported remote id=east.example/shop/reviews\n" +
			"workload shop/client-1 10.244.1.1 sa=client\n"
		for _, a := range []string{eastOne, eastTwo} {
			text += "import shop/reviews:80 gateway=" + a + ":15443 member=east network=n2"
			if slices.Contains(strings.Fields(unreached), a) {
				text += " unreached"
			}
			text += "\n"
		}
		m := checked(text)
		remote := &model.Remote{Cluster: "east", TrustDomain: "east.example"}
		for _, a := range []string{eastTwo, eastOne} { // sorted as text
			remote.Gateways = append(remote.Gateways, model.GatewayAddress{Address: a, Port: 15443})
		}
		m.Remotes = []*model.Remote{remote}
		for _, name := range []string{"west-1", "west-2"} {
			m.Workloads = append(m.Workloads, &model.Workload{
				Namespace: "istio-system", Name: name, ServiceAccount: "istio-eastwestgateway", Labels: map[string]string{"istio": "eastwestgateway"},
			})
		}
		slices.SortFunc(m.Workloads, func(a, b *model.Workload) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
		return m
	}
	c := &control{t: t, mesh: western("")}
	c.restart()
	register := func(g grpc.ServiceRegistrar) { healthv3.RegisterHealthDiscoveryServiceServer(g, c) }
	gateway("west", "west-1", "10.244.1.9", register, western(""))
	gateway("west", "west-2", "10.244.1.10", register, western(""))
	caller := fabric.Pod("shop", "client-1", "10.244.1.1")
	leaf := root.Leaf("spiffe://west.example/ns/shop/sa/client")
	e := caller.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://west.example/ns/shop/sa/client", Leaf: &leaf, Redirect: true})
	e.Push(snapshot.Build(western(""), nil))

	// settle waits for a verdict, and pushes what follows from it.
	settle := func(t *testing.T, want string) {
		t.Helper()
		began := time.Now()
		until(t, fmt.Sprintf("unreached are %q", want), func() bool { return c.unreached() == want })
		t.Logf("unreached are %q after %v", want, time.Since(began).Round(10*time.Millisecond))
		e.Push(snapshot.Build(western(want), nil))
	}
	// calls all succeed, and none is tried at a gateway that is silent.
	calls := func(t *testing.T) {
		t.Helper()
		before := e.Stat("cluster.outbound|80||reviews.shop.svc.cluster.local.upstream_cx_connect_timeout") + e.Stat("cluster.outbound|80||reviews.shop.svc.cluster.local.upstream_cx_connect_fail")
		user := client(caller)
		for range 30 {
			user.CloseIdleConnections()
			if status, body := get(t, user, "240.240.0.7:80", "reviews.shop.svc.clusterset.local"); status != 200 {
				t.Fatalf("%d %s", status, body)
			}
		}
		after := e.Stat("cluster.outbound|80||reviews.shop.svc.cluster.local.upstream_cx_connect_timeout") + e.Stat("cluster.outbound|80||reviews.shop.svc.cluster.local.upstream_cx_connect_fail")
		if after != before {
			t.Errorf("%d connections to a gateway that doesn't answer", after-before)
		}
	}

	until(t, "both gateways were seen by both", func() bool {
		const passed = "http.gateway_check.downstream_rq_2xx"
		return answersOne.Stat(passed) >= 8 && answersTwo.Stat(passed) >= 8
	})
	settle(t, "")
	restoreOne := one.Swallow("10.244.1.0/24")
	t.Run("OneIsSilent", func(t *testing.T) { settle(t, eastOne); calls(t) })
	t.Run("ControlPlaneRestarts", func(t *testing.T) {
		if got := c.restart(); got != "" {
			t.Errorf("unreached are %s before anybody said so", got)
		}
		settle(t, eastOne)
		calls(t)
	})
	restoreOne()
	t.Run("BackAgain", func(t *testing.T) { settle(t, ""); calls(t) })
	restoreOne, restoreTwo := one.Swallow(westGateways), two.Swallow(westGateways)
	t.Run("ChecksAreWrongAboutAll", func(t *testing.T) { settle(t, eastTwo+" "+eastOne); calls(t) })
	restoreTwo()
	restoreOne()
	t.Run("AllAgain", func(t *testing.T) { settle(t, ""); calls(t) })
}
