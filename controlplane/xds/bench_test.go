// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

const (
	benchServices = 1000
	benchProxies  = 400
)

// BenchmarkFanout: 400 delta ADS proxies over TLS, which see 1,000 services of 4
// endpoints each; an operation is one endpoint that comes or goes, from the
// changed EndpointSlice until every proxy has its new endpoints. Server and
// proxies are two processes that share the machine's processors. Use
// -benchtime=200x for a p99 that is worth its name.
//
//	start-s          from the first connection until all proxies have everything
//	start-MiB        the server's peak memory until then, with all that built the snapshot
//	KiB/proxy        its memory, less what it was before anybody connected
//	all-p50, p99     change until the last proxy has it; each-p99: any proxy
//	server-ms/op     processor time of the server, crowd-ms/op: of the proxies
//	wire-B/op        what the server wrote, per proxy
//	reconnect-B      what it sends a proxy that reconnects with what it has
//
// Floor is the same with a server that sends the same bytes to all and knows
// nothing: what gRPC, TLS and the kernel take.
func BenchmarkFanout(b *testing.B) {
	b.Run("Floor", floor)
	b.Run("Server", func(b *testing.B) {
		tw := newTown(benchServices)
		s := newServer(b)
		s.Push(tw.build())
		v := openVenue(b, func(g *grpc.Server) { s.Register(g) })
		runtime.GC()
		debug.FreeOSMemory()
		idle := memory(b, "VmRSS")

		began := monotonic()
		a := v.connect(tw, benchProxies)
		peak := memory(b, "VmHWM")
		runtime.GC()
		debug.FreeOSMemory()
		settled := memory(b, "VmRSS")

		fan(b, v, func(i int) {
			tw.flip(i * 37 % benchServices)
			s.Push(tw.build())
		})

		b.ReportMetric(float64(slices.Max(a.Times)-began)/1e9, "start-s")
		b.ReportMetric(float64(peak)/(1<<20), "start-MiB")
		b.ReportMetric(float64(a.Bytes)/benchProxies, "start-B/proxy")
		b.ReportMetric(float64(settled-idle)/(1<<10)/benchProxies, "KiB/proxy")

		v.order(order{Do: "reconnect"})
		v.answer()
		resumed(b, s, benchProxies)
		v.order(order{Do: "count"})
		b.ReportMetric(float64(v.answer().Bytes)/benchProxies, "reconnect-B")
	})
}

// fan out changes and report what they took.
func fan(b *testing.B, v *venue, change func(i int)) {
	var all, each []float64
	var server, crowd time.Duration
	var wrote int64
	v.order(order{Do: "change"})
	v.answer()
	change(0)
	last := v.answer().CPU // warm now
	i := 1
	for b.Loop() {
		v.order(order{Do: "change"})
		v.answer()
		cpu, bytes, began := processCPU(), v.written.Load(), monotonic()
		change(i)
		a := v.answer()
		server += processCPU() - cpu
		wrote += v.written.Load() - bytes
		crowd += a.CPU - last
		last = a.CPU
		for _, at := range a.Times {
			each = append(each, float64(at-began)/1e6)
		}
		all = append(all, float64(slices.Max(a.Times)-began)/1e6)
		i++
	}
	n := float64(len(all))
	b.ReportMetric(quantile(all, .5), "all-p50-ms")
	b.ReportMetric(quantile(all, .99), "all-p99-ms")
	b.ReportMetric(quantile(each, .5), "each-p50-ms")
	b.ReportMetric(quantile(each, .99), "each-p99-ms")
	b.ReportMetric(float64(server.Milliseconds())/n, "server-ms/op")
	b.ReportMetric(float64(crowd.Milliseconds())/n, "crowd-ms/op")
	b.ReportMetric(float64(wrote)/n/benchProxies, "wire-B/op")
}

func quantile(v []float64, q float64) float64 {
	slices.Sort(v)
	return v[min(int(q*float64(len(v))), len(v)-1)]
}

// resumed waits until every stream has asked for all and is told nothing more.
func resumed(t testing.TB, s *Server, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		level := 0
		for _, st := range s.open() {
			st.mu.Lock()
			if st.session.types[routes].active && st.session.level() && !st.sending {
				level++
			}
			st.mu.Unlock()
		}
		if level == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d proxies have resumed after a minute", level, n)
		}
	}
}

// floor is a server that knows nothing.
func floor(b *testing.B) {
	tw := newTown(benchServices)
	shown := tw.build()
	name, ns, _ := tw.pod(0)
	var eds *envoy.Resource
	view := shown.View(describe(&node{kind: "sidecar", name: name, namespace: ns}, spiffeid.ID{}, shown.Workload(ns, name)))
	eds = all(view.Types[envoy.EndpointType])[500]
	null := &nullServer{payload: newPayload(endpoints, false, selection{resources: []*envoy.Resource{eds}})}
	v := openVenue(b, func(g *grpc.Server) { discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, null) })
	v.connect(tw, benchProxies)
	fan(b, v, func(i int) { null.push(i) })
}

// nullServer answers the first request of each type with nothing, and then sends
// all streams the same.
type nullServer struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	payload *payload
	mu      sync.Mutex
	streams []grpc.ServerStream
}

func (n *nullServer) DeltaAggregatedResources(g discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	n.mu.Lock()
	n.streams = append(n.streams, g)
	n.mu.Unlock()
	var r request
	for answered := [kinds]bool{}; ; {
		if err := g.RecvMsg(&r); err != nil {
			return err
		}
		if k, ok := kindOf(r.typeURL); ok && !answered[k] {
			answered[k] = true
			if err := g.SendMsg(&frame{body: newPayload(k, false, selection{}).body, nonce: "0"}); err != nil {
				return err
			}
		}
	}
}

func (n *nullServer) push(i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.streams {
		_ = g.SendMsg(&frame{body: n.payload.body, nonce: strconv.Itoa(i)})
	}
}
