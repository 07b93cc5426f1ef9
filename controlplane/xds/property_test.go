// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
)

// TestAnyHistory: whatever is pushed, however slowly the proxy takes and answers
// it, and however often it reconnects, (1) no route ever leads to a cluster that
// isn't there or isn't warm, and (2) in the end the proxy has the view. Of a
// state-of-the-world proxy that reconnects (1) can't be asked: it doesn't tell
// which clusters it has, so they cannot be kept until nothing leads to them.
func TestAnyHistory(t *testing.T) {
	for _, sotw := range []bool{false, true} {
		t.Run(map[bool]string{false: "Delta", true: "StateOfTheWorld"}[sotw], func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { history(t, sotw) })
		})
	}
}

// trial is a session and its proxy, with a line in each direction.
type trial struct {
	t       *rapid.T
	session *session
	proxy   *modelEnvoy
	names   *nameTable
	now     time.Time
	view    *envoy.View
	cache   *cache
	in      []*response // not yet delivered to the proxy
	// blind: the proxy reconnected and has no way to tell what it has.
	blind bool
	log   []string
}

func history(t *rapid.T, sotw bool) {
	w := &worlds{resources: map[string]*envoy.Resource{}, content: map[*envoy.Resource]string{}, layers: map[string]*envoy.Layer{}}
	tr := &trial{t: t, names: newNameTable(), now: time.Unix(1e9, 0), proxy: newModelEnvoy(sotw, w.content)}
	tr.push(w.draw(t))
	tr.connect(sotw)
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		switch rapid.SampledFrom([]string{"push", "deliver", "deliver", "deliver", "request", "request", "request", "reconnect"}).Draw(t, "step") {
		case "push":
			tr.push(w.draw(t))
		case "deliver":
			tr.deliver()
		case "request":
			tr.request()
		case "reconnect":
			if rapid.IntRange(0, 4).Draw(t, "really") == 0 {
				tr.connect(sotw)
			}
		}
	}
	tr.settle()
	// A proxy that has no listeners doesn't ask for routes; it is waited for a little.
	tr.now = tr.now.Add(10 * time.Second)
	tr.serve()
	tr.settle()
	want := w.state(tr.view)
	if d := cmp.Diff(want, tr.proxy.state()); d != "" {
		t.Fatalf("proxy does not have the view (-view +proxy):\n%s\n%s", d, strings.Join(tr.log, "\n"))
	}
}

// settle until nobody has anything to say.
func (tr *trial) settle() {
	for range 1000 {
		if !tr.deliver() && !tr.request() {
			return
		}
	}
	tr.t.Fatalf("no end:\n%s", strings.Join(tr.log, "\n"))
}

func (tr *trial) push(v *envoy.View) {
	tr.view, tr.cache = v, newCache()
	tr.log = append(tr.log, "push")
	if tr.session != nil {
		tr.session.aim(v, tr.cache)
		tr.serve()
	}
}

func (tr *trial) connect(sotw bool) {
	tr.log = append(tr.log, "connect")
	tr.blind = sotw && tr.session != nil
	limits := Limits{}.orStandard()
	tr.session = &session{sotw: sotw, names: tr.names, limits: limits, settled: tr.now.Add(limits.Answer)}
	tr.session.aim(tr.view, tr.cache)
	tr.in = nil
	tr.proxy.connect()
}

func (tr *trial) serve() {
	for r := tr.session.next(tr.now); r != nil; r = tr.session.next(tr.now) {
		tr.in = append(tr.in, r)
	}
}

// deliver the next response to the proxy; false when there is none.
func (tr *trial) deliver() bool {
	if len(tr.in) == 0 {
		return false
	}
	r := tr.in[0]
	tr.in = tr.in[1:]
	tr.log = append(tr.log, fmt.Sprintf("-> %s %v -%v", labels[r.kind], resourceNames(r.payload.all()), r.payload.removed))
	tr.proxy.take(r.kind, r.nonce, selection{resources: r.payload.all(), removed: r.payload.removed})
	if broken := tr.proxy.broken(); broken != "" && !tr.blind {
		tr.t.Fatalf("%s\n%s", broken, strings.Join(tr.log, "\n"))
	}
	return true
}

// request of the proxy's is handed to the session; false when there is none.
func (tr *trial) request() bool {
	if len(tr.proxy.out) == 0 {
		return false
	}
	r := tr.proxy.out[0]
	tr.proxy.out = tr.proxy.out[1:]
	tr.log = append(tr.log, fmt.Sprintf("<- %s nonce=%s +%v -%v has %v", labels[r.kind], r.nonce, r.subscribe, r.unsubscribe, r.initial))
	if _, err := tr.session.handle(r.kind, &r.request, tr.now); err != nil {
		tr.t.Fatal(err)
	}
	tr.serve()
	return true
}

// worlds draws views that share what they have in common.
type worlds struct {
	resources map[string]*envoy.Resource
	content   map[*envoy.Resource]string
	layers    map[string]*envoy.Layer
}

// draw a view that fits together: each cluster has endpoints, each listener a
// route, each route a cluster.
func (w *worlds) draw(t *rapid.T) *envoy.View {
	word := rapid.SampledFrom([]string{"1", "2"})
	own := map[kind][]*envoy.Resource{}
	shared := map[kind][]*envoy.Resource{}
	put := func(k kind, name, content string) {
		to := shared
		if rapid.IntRange(0, 5).Draw(t, "own") == 0 {
			to = own
		}
		to[k] = append(to[k], w.resource(k, name, content))
	}
	var there []string
	for _, c := range []string{"a", "b", "c", "d"} {
		if rapid.Bool().Draw(t, "cluster "+c) {
			there = append(there, c)
			put(clusters, c, word.Draw(t, "cluster"))
			put(endpoints, c, word.Draw(t, "endpoints"))
		}
	}
	for _, l := range []string{"l", "m"} {
		if len(there) > 0 && rapid.Bool().Draw(t, "listener "+l) {
			put(listeners, l, word.Draw(t, "listener"))
			put(routes, "of-"+l, rapid.SampledFrom(there).Draw(t, "route"))
		}
	}
	v := &envoy.View{Types: map[string]envoy.Layers{}}
	for k := range kinds {
		v.Types[typeURLs[k]] = envoy.Layers{Shared: w.layer(k, shared[k]), Own: w.layer(k, own[k])}
	}
	return v
}

func (w *worlds) resource(k kind, name, content string) *envoy.Resource {
	id := labels[k] + " " + name + "=" + content
	if r := w.resources[id]; r != nil {
		return r
	}
	var m proto.Message
	switch k {
	case clusters:
		m = &clusterv3.Cluster{Name: name, AltStatName: content, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}}
	case endpoints:
		m = &endpointv3.ClusterLoadAssignment{ClusterName: name, NamedEndpoints: map[string]*endpointv3.Endpoint{content: {}}}
	case listeners:
		m = &listenerv3.Listener{Name: name, StatPrefix: content}
	case extensions:
		m = &corev3.TypedExtensionConfig{Name: name, TypedConfig: &anypb.Any{TypeUrl: content}}
	case routes:
		m = &routev3.RouteConfiguration{Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: content}}}
	}
	r, err := envoy.NewResource(name, m)
	if err != nil {
		panic(err)
	}
	w.resources[id], w.content[r] = r, content
	return r
}

func (w *worlds) layer(k kind, resources []*envoy.Resource) *envoy.Layer {
	if len(resources) == 0 {
		return nil
	}
	var key strings.Builder
	key.WriteString(labels[k])
	for _, r := range resources {
		key.WriteString(" " + r.Name + "=" + r.Version)
	}
	if w.layers[key.String()] == nil {
		w.layers[key.String()], _ = envoy.NewLayer(resources)
	}
	return w.layers[key.String()]
}

// state of a proxy that has the view.
func (w *worlds) state(v *envoy.View) string {
	var out []string
	for k := range kinds {
		for _, r := range all(v.Types[typeURLs[k]]) {
			out = append(out, labels[k]+" "+r.Name+"="+w.content[r])
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
