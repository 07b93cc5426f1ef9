// SPDX-License-Identifier: Apache-2.0

package hds_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/hds"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestServer plays gateways a and b, which check gateways 1, 2, … of east, one word
// each: a's stream begins ("a=open") or is refused ("c=refused"), a finds something of
// gateway 1, or of another one ("a=pass", "a=fail/2", "a=hang", "a=degraded"), a's stream
// ends ("a=end"); east has other gateways ("east=1,3"), checks are off ("off"), a pod is
// known ("pod=c"), or nothing happens for some time. Then each gateway that is checked is
// up or down, and it says how many gateways check and how often something else was told.
func TestServer(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"NobodyChecks":      {"", "1=up 2=up checkers=0 told=0"},
		"FailsAfterPassing": {"a=open 3s a=pass a=pass/2 a=fail", "1=down 2=up checkers=1 told=1"},
		"PassesAgain":       {"a=open 3s a=pass a=fail 1s a=pass", "1=up 2=up checkers=1 told=2"},
		"NeverPassed":       {"a=open a=fail 20s a=fail", "1=up 2=up checkers=1 told=0"},
		"HangsFromTheStart": {"a=open a=hang 9s a=hang", "1=down 2=up checkers=1 told=1"},
		"JustAsked":         {"a=open 1s a=pass a=fail", "1=up 2=up checkers=1 told=0"},
		"AnotherSawItPass":  {"b=open 3s b=pass b=end a=open a=fail 9s a=fail", "1=down 2=up checkers=1 told=1"},
		"DegradedAnswers":   {"a=open b=open 3s b=pass a=degraded b=fail", "1=up 2=up checkers=2 told=0"},
		"OneOfTwoGoes":      {"a=open b=open 3s a=pass b=pass b=fail a=end", "1=down 2=up checkers=1 told=1"},
		"OneOfTwoIsSilent":  {"a=open b=open 3s a=pass b=pass b=fail 4s b=fail 4s", "1=down 2=up checkers=2 told=1"},
		"Goes":              {"a=open 3s a=pass a=fail a=end 20s", "1=down 2=up checkers=0 told=1"},
		"IsGone":            {"a=open 3s a=pass a=fail a=end 25s", "1=up 2=up checkers=0 told=2"},
		"IsSilent":          {"a=open 3s a=pass a=fail 25s", "1=up 2=up checkers=1 told=2"},
		"SaysItAgain":       {"a=open 3s a=pass a=fail 20s a=fail 10s", "1=down 2=up checkers=1 told=1"},
		// One that isn't there any more is in no metric, and of what becomes of it nothing is known.
		"GatewayGoes":     {"a=open 3s a=pass/2 a=fail/2 east=1", "1=up checkers=1 told=2"},
		"GatewayReturns":  {"a=open 3s a=pass/2 a=fail/2 east=1 east=1,2 a=fail/2", "1=up 2=up checkers=1 told=2"},
		"ReturnsUnknown":  {"a=open 3s a=pass/2 east=1 east=1,2 3s a=fail/2 9s a=fail/2", "1=up 2=up checkers=1 told=0"},
		"NobodyAsked":     {"a=open 3s a=pass/9 a=hang/9 9s a=hang/9", "1=up 2=up checkers=1 told=0"},
		"AskedLater":      {"a=open 3s a=pass/9 east=1,9 3s a=fail/9 9s a=fail/9", "1=up 9=up checkers=1 told=0"},
		"AskedAnew":       {"a=open 3s a=pass east=1,3 a=fail", "1=up 3=up checkers=1 told=0"},
		"AnyOrder":        {"east=3,2,1 a=open 3s a=pass/3 a=pass/1 a=fail/1 a=fail/3", "1=down 2=up 3=down checkers=1 told=2"},
		"Off":             {"a=open 3s a=pass a=fail off", "checkers=0 told=2"},
		"OffAndOn":        {"a=open 3s a=pass a=fail off east=1 a=fail", "1=up checkers=1 told=2"},
		"NotKnownYet":     {"c=refused pod=c c=open 3s c=pass c=fail", "1=down 2=up checkers=1 told=1"},
		"TwoAtOnce":       {"a=open 3s a=pass a=pass/2 a=fail b=open a=fail/2", "1=down 2=down checkers=2 told=2"},
		"HearsOneOfTwo":   {"a=open b=open 3s a=pass b=pass a=fail b=hang", "1=down 2=up checkers=2 told=1"},
		"EndsAndIsBack":   {"a=open 3s a=pass a=fail a=end a=open 3s a=pass", "1=up 2=up checkers=1 told=2"},
		"StreamIsReplace": {"a=open 3s a=pass a=fail a=open a=fail", "1=down 2=up checkers=2 told=1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlay(t)
				for _, word := range strings.Fields(test.script) {
					p.word(word)
				}
				if d := cmp.Diff(test.want, p.outcome()); d != "" {
					t.Errorf("-want +got:\n%s", d)
				}
			})
		})
	}
}

// play is a server by a clock that isn't the real one, and its gateways.
type play struct {
	t       *testing.T
	server  *hds.Server
	metrics *prometheus.Registry
	told    int
	mesh    *model.Mesh
	streams map[string]*stream
	names   []string // of east's gateways
}

func newPlay(t *testing.T) *play {
	t.Helper()
	p := &play{t: t, metrics: prometheus.NewRegistry(), streams: map[string]*stream{}}
	var err error
	p.server, err = hds.New(hds.Options{
		Authenticator: &caller{Namespace: "istio-system", ServiceAccount: "gateway"}, Registry: p.metrics, Changed: func() { p.told++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	p.mesh = gatewayMesh()
	p.mesh.Workloads = nil
	p.pod("a")
	p.pod("b")
	p.east("1,2")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.server.Run(ctx) }()
	t.Cleanup(func() {
		for _, s := range p.streams {
			s.stop()
		}
		cancel()
		<-ended
	})
	return p
}

func (p *play) word(word string) {
	p.t.Helper()
	who, what, ok := strings.Cut(word, "=")
	what, gateway, other := strings.Cut(what, "/")
	if !other {
		gateway = "1"
	}
	switch {
	case who == "off":
		settings := *p.mesh.Settings
		settings.GatewayChecks = nil
		p.update(func(m *model.Mesh) { m.Settings = &settings })
	case !ok:
		d, err := time.ParseDuration(word)
		if err != nil {
			p.t.Fatal(err)
		}
		<-time.After(d)
	case who == "east":
		p.east(what)
	case who == "pod":
		p.pod(what)
	case what == "open":
		if s := p.open(who); s.over() {
			p.t.Fatalf("%s is refused: %v", who, s.err)
		}
	case what == "refused":
		if s := p.open(who); !s.over() || status.Code(s.err) != codes.Unavailable {
			p.t.Errorf("%s is let in, or refused with %v", who, s.err)
		}
	case what == "end":
		p.streams[who].stop()
	default:
		p.streams[who].say(p.t, reported("east", "192.0.2."+gateway, map[string]corev3.HealthStatus{
			"pass": corev3.HealthStatus_HEALTHY, "degraded": corev3.HealthStatus_DEGRADED, "fail": corev3.HealthStatus_UNHEALTHY, "hang": corev3.HealthStatus_TIMEOUT,
		}[what]))
	}
	synctest.Wait()
}

// update the mesh; what isn't changed is the same.
func (p *play) update(change func(*model.Mesh)) {
	next := *p.mesh
	change(&next)
	p.mesh = &next
	p.server.Update(p.mesh)
}

func (p *play) east(names string) {
	p.names = strings.Split(names, ",")
	r := &model.Remote{Cluster: "east", TrustDomain: "east.example"}
	for _, n := range p.names {
		r.Gateways = append(r.Gateways, model.GatewayAddress{Address: "192.0.2." + n, Port: 15443})
	}
	settings := *gatewayMesh().Settings
	p.update(func(m *model.Mesh) { m.Remotes, m.Settings = []*model.Remote{r}, &settings })
}

// pod of a gateway. Names of pods may have dots.
func (p *play) pod(who string) {
	all := append(slices.Clone(p.mesh.Workloads), &model.Workload{
		Namespace: "istio-system", Name: "gateway." + who, ServiceAccount: "gateway", Labels: map[string]string{"istio": "eastwestgateway"},
	})
	p.update(func(m *model.Mesh) { m.Workloads = all })
}

func (p *play) open(who string) *stream {
	s := newStream(p.t.Context(), p.server)
	p.streams[who+"#"+fmt.Sprint(len(p.streams))], p.streams[who] = p.streams[who], s
	s.hello(p.t, who)
	return s
}

func newStream(ctx context.Context, server *hds.Server) *stream {
	s := &stream{ctx: ctx, in: make(chan *healthv3.HealthCheckRequestOrEndpointHealthResponse), closed: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = server.StreamHealthCheck(s)
	}()
	return s
}

// hello is the first message, of the gateway of that name.
func (s *stream) hello(t *testing.T, who string) {
	t.Helper()
	s.say(t, &healthv3.HealthCheckRequestOrEndpointHealthResponse{RequestType: &healthv3.HealthCheckRequestOrEndpointHealthResponse_HealthCheckRequest{
		HealthCheckRequest: &healthv3.HealthCheckRequest{Node: &corev3.Node{Id: "router~10.0.0.1~gateway." + who + ".istio-system~x"}},
	}})
	synctest.Wait()
}

// outcome by the metrics, with which Unreached must agree.
func (p *play) outcome() string {
	p.t.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	var out, down []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch l := m.GetLabel(); {
			case f.GetName() == "isthmesh_gateway_checkers":
				out = append(out, fmt.Sprintf("checkers=%.0f", m.GetGauge().GetValue()))
			case f.GetName() == "isthmesh_remote_gateway_up" && l[1].GetValue() == "east":
				name := strings.TrimSuffix(strings.TrimPrefix(l[0].GetValue(), "192.0.2."), ":15443")
				state := name + "=up"
				if m.GetGauge().GetValue() == 0 {
					state = name + "=down"
					down = append(down, name)
				}
				out = append(out, state)
			}
		}
	}
	slices.Sort(out) // numbers before the word
	var unreached []string
	for _, g := range p.server.Unreached() {
		unreached = append(unreached, strings.TrimPrefix(g.Address, "192.0.2."))
	}
	if d := cmp.Diff(down, unreached); d != "" {
		p.t.Errorf("the metrics say another thing than Unreached:\n%s", d)
	}
	return strings.Join(append(out, fmt.Sprintf("told=%d", p.told)), " ")
}

// stream is a gateway's Envoy, without a network.
type stream struct {
	grpc.ServerStream
	ctx    context.Context
	in     chan *healthv3.HealthCheckRequestOrEndpointHealthResponse
	closed chan struct{}
	done   chan struct{}
	err    error
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) Send(*healthv3.HealthCheckSpecifier) error { return nil }

func (s *stream) Recv() (*healthv3.HealthCheckRequestOrEndpointHealthResponse, error) {
	select {
	case m := <-s.in:
		return m, nil
	case <-s.closed:
		return nil, io.EOF
	}
}

func (s *stream) say(t *testing.T, m *healthv3.HealthCheckRequestOrEndpointHealthResponse) {
	t.Helper()
	select {
	case s.in <- m:
	case <-s.done:
		t.Fatalf("the stream has ended: %v", s.err)
	}
}

// over tells whether the server has ended it.
func (s *stream) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *stream) stop() {
	if s == nil || s.over() {
		return
	}
	close(s.closed)
	<-s.done
}

// TestBeforeTheMesh: a gateway that is faster than the first mesh waits for it, and may go.
func TestBeforeTheMesh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := hds.New(hds.Options{Authenticator: &caller{Namespace: "istio-system", ServiceAccount: "gateway"}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waits, goes := newStream(t.Context(), server), newStream(ctx, server)
		waits.hello(t, "a")
		goes.hello(t, "a")
		cancel()
		synctest.Wait()
		if !goes.over() || status.Code(goes.err) != codes.Canceled {
			t.Errorf("one that goes ends with %v", goes.err)
		}
		if waits.over() {
			t.Fatalf("one that waits ends with %v", waits.err)
		}
		m := gatewayMesh("east=192.0.2.1")
		m.Workloads[0].Name = "gateway.a"
		server.Update(m)
		synctest.Wait()
		if waits.over() {
			t.Errorf("it isn't let in: %v", waits.err)
		}
		waits.stop()
	})
}

// nobody is let in, for a reason that has no code of its own.
type nobody struct{}

func (nobody) Authenticate(context.Context) (*authn.Caller, error) {
	return nil, errors.New("no certificate and no token")
}

// TestWithoutCredential: who can't be told is refused as such.
func TestWithoutCredential(t *testing.T) {
	s, err := hds.New(hds.Options{Authenticator: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StreamHealthCheck(&stream{ctx: t.Context()}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
}
