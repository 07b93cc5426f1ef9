// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// town is a mesh in which pod ns0/svc00000-0 has a proxy that refuses every
// resource with the word "bad" in it, and another pod one that takes all.
type town struct {
	*testing.T
	mesh  *model.Mesh
	aside *snapshot.Aside
	shown *snapshot.Snapshot
	// kind of the proxies; a sidecar's unless it is said.
	kind model.ProxyType
	// whole: it doesn't say which resource is bad, and takes none of the type then.
	whole bool
	// taken are the texts of resources that the proxy took last.
	taken map[string]string
	// pushes that it took until all was settled.
	pushes int
}

var typesOf = []string{envoy.ClusterType, envoy.EndpointType, envoy.ListenerType, envoy.RouteType, envoy.ExtensionType}

func newTown(t *testing.T) *town {
	m := world(4, 2)
	for i := range m.Services {
		// They share the table of routes of port 80.
		svc := *m.Services[i].Service
		svc.Addresses, svc.Kind = nil, model.Headless
		m.Services[i].Service = &svc
	}
	for _, w := range m.Workloads {
		w.CreatedUnix = 100
		w.Labels = map[string]string{"app": w.Name}
	}
	return &town{T: t, mesh: m, taken: map[string]string{}}
}

func (w *town) pod(i int) *model.Proxy {
	p := proxy(w.mesh.Workloads[i])
	p.Labels = p.Workload.Labels
	if w.kind != "" {
		p.Type = w.kind
	}
	return p
}

// now the mesh is this.
func (w *town) now(change func(m *model.Mesh)) {
	w.Helper()
	m := *w.mesh
	change(&m)
	w.mesh = &m
	w.aside = w.aside.Next(w.mesh)
	for w.pushes = 0; w.pushes < 60; w.pushes++ {
		w.shown = snapshot.BuildWithout(w.mesh, w.aside, w.shown)
		rejections := w.take()
		next := w.shown.Refused(rejections, func(string, string) (bool, bool) { return true, true })
		if next == w.aside && len(next.Searched()) == 0 {
			return
		}
		w.aside = next
	}
	w.Fatal("it never settles")
}

// take what the proxy is sent, but for what it refuses.
func (w *town) take() []model.Rejection {
	var out []model.Rejection
	p := w.pod(0)
	v := w.shown.View(p)
	has := map[string]bool{}
	for _, url := range typesOf {
		if w.whole && strings.Contains(w.texts(v, url), "bad") {
			out = append(out, model.Rejection{Proxy: p, TypeURL: url, Reason: "bad things"})
			for k := range w.taken {
				has[k] = true // all of it stays
			}
			continue
		}
		for _, layer := range []*envoy.Layer{v.Types[url].Shared, v.Types[url].Own} {
			for _, r := range layer.Resources() {
				text := w.text(r)
				has[url+" "+r.Name] = true
				if strings.Contains(text, "bad") {
					out = append(out, model.Rejection{Proxy: p, TypeURL: url, Resource: r.Name, Version: r.Version, Reason: "bad things"})
					continue
				}
				w.taken[url+" "+r.Name] = text
			}
		}
	}
	for k := range w.taken {
		if !has[k] {
			delete(w.taken, k)
		}
	}
	return out
}

// texts of all resources of a type.
func (w *town) texts(v *envoy.View, url string) string {
	var b strings.Builder
	for _, layer := range []*envoy.Layer{v.Types[url].Shared, v.Types[url].Own} {
		for _, r := range layer.Resources() {
			b.WriteString(w.text(r))
		}
	}
	return b.String()
}

func (w *town) text(r *envoy.Resource) string {
	w.Helper()
	b, err := r.JSON()
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

// inForce are those of some words that are in force at the proxy.
func (w *town) inForce(words string) string {
	return foundIn(words, w.taken)
}

// elsewhere are those that another pod's proxy is to have.
func (w *town) elsewhere(words string) string {
	texts := map[string]string{}
	v := w.shown.View(w.pod(1))
	for _, url := range typesOf {
		for _, layer := range []*envoy.Layer{v.Types[url].Shared, v.Types[url].Own} {
			for _, r := range layer.Resources() {
				texts[url+" "+r.Name] = w.text(r)
			}
		}
	}
	return foundIn(words, texts)
}

func foundIn(words string, texts map[string]string) string {
	var out []string
	for _, word := range strings.Fields(words) {
		for _, text := range texts {
			if strings.Contains(text, word) {
				out = append(out, word)
				break
			}
		}
	}
	return strings.Join(out, " ")
}

// told are the objects with a Problem, and how their messages begin.
func (w *town) told() string {
	var out []string
	for _, p := range w.shown.Blame(nil) {
		_, goesOn, _ := strings.Cut(p.Message, "changes, so ")
		goesOn, _, _ = strings.Cut(goesOn, ":")
		out = append(out, fmt.Sprintf("%s %s: %s", p.Kind, p.Name, goesOn))
	}
	return strings.Join(out, "\n")
}

func origin(kind, name string, created int64) model.Origin {
	return model.Origin{Kind: kind, Namespace: "ns0", Name: name, CreatedUnix: created}
}

// toService sends what begins with a path to a service; the header shows it.
func toService(service int, name, header string, created int64) *model.Routing {
	host := fmt.Sprintf("svc%05d.ns%d.svc.cluster.local", service, service)
	return &model.Routing{
		Origin: origin("VirtualService", name, created), Hosts: []string{host}, Gateways: []model.GatewayRef{model.Sidecars},
		HTTP: []model.HTTPRule{{
			Matches:      []model.HTTPMatch{{Path: model.Match{Kind: model.MatchPrefix, Value: "/of-" + name}}},
			Headers:      model.HeaderChanges{Request: model.HeaderOps{Set: []model.Header{{Name: "x-a", Value: header}}}},
			Destinations: []model.Destination{{Host: model.Hostname(host), Port: 80}},
		}},
	}
}

func how(service int, name, key string, created int64) *model.DestinationPolicy {
	p := &model.DestinationPolicy{Origin: origin("DestinationRule", name, created), Host: fmt.Sprintf("svc%05d.ns%d.svc.cluster.local", service, service)}
	p.Policy.TLS = &model.ClientTLS{Mode: model.SimpleTLS, SNI: "kept.example"}
	p.Policy.Balancer = &model.Balancer{Kind: model.RingHash, Hash: &model.HashKey{Header: key}}
	return p
}

// TestSpared: whatever object it is that a proxy refuses, it goes on with all
// others, and nothing that was closed is open.
func TestSpared(t *testing.T) {
	type meshes = []func(m *model.Mesh)
	routings := func(list ...*model.Routing) func(m *model.Mesh) {
		return func(m *model.Mesh) {
			m.Routings = list
			slices.SortFunc(m.Routings, func(a, b *model.Routing) int { return a.Older(b.Origin) })
		}
	}
	good, other, later := toService(0, "good", "header-good", 200), toService(3, "other", "header-other", 201), toService(2, "later", "header-later", 999)
	worse := func(created int64) *model.Routing { return toService(1, "b", "bad-one", created) }
	badMatch := toService(1, "b", "header-x", 300)
	badMatch.HTTP[0].Matches[0].Path.Value = "/bad"
	policies := func(list ...*model.DestinationPolicy) func(m *model.Mesh) {
		return func(m *model.Mesh) { m.Policies = list }
	}
	denies := func(path string) func(m *model.Mesh) {
		return func(m *model.Mesh) {
			a := authorization("ns0", "guard", nil, model.Deny)
			a.Rules = []model.AuthorizationRule{{To: []model.Operation{{Paths: model.Values{In: []string{path}}}}}}
			m.Authorizations = []*model.Authorization{a}
		}
	}
	logs := func(filter string) func(m *model.Mesh) {
		return func(m *model.Mesh) {
			settings := *m.Settings
			settings.LogProviders = []model.LogProvider{{Name: "envoy", Path: "/dev/stdout"}}
			m.Settings = &settings
			m.Telemetries = []*model.Telemetry{{
				Origin: model.Origin{Kind: "Telemetry", Namespace: "ns0", Name: "logs", CreatedUnix: 50},
				Logs:   []model.LogRule{{Providers: []string{"envoy"}, Filter: "request.path == \"/" + filter + "\""}},
			}}
		}
	}
	all := newTown(t).mesh.Workloads
	for name, test := range map[string]struct {
		steps meshes
		words string // that are looked for
		want  string // of those in force at the proxy that refuses
		told  string
	}{
		"NewIsLeftOut": {
			steps: meshes{routings(good), routings(good, worse(300)), routings(good, worse(300), later)},
			words: "header-good header-later bad-one of-b", want: "header-good header-later",
			told: "VirtualService b: it is left out for it",
		},
		"ChangedStaysAsItWas": {
			steps: meshes{routings(good, toService(1, "b", "was-fine", 300)), routings(good, worse(300)), routings(good, worse(300), later)},
			words: "header-good header-later was-fine bad-one", want: "header-good header-later was-fine",
			told: "VirtualService b: it stays there as it was before the change",
		},
		"ChangedTwiceStaysAsItWasFirst": {
			steps: meshes{routings(toService(1, "b", "was-fine", 300)), routings(worse(300)), routings(toService(1, "b", "bad-two", 300)), routings(toService(1, "b", "bad-two", 300), later)},
			words: "was-fine bad-one bad-two header-later", want: "was-fine header-later",
			told: "VirtualService b: it stays there as it was before the change",
		},
		"MendedAndSpoiltStaysAsItWasMended": {
			steps: meshes{routings(good), routings(good, worse(300)), routings(good, toService(1, "b", "mended", 300)), routings(good, toService(1, "b", "bad-two", 300), later)},
			words: "header-good header-later mended bad-two", want: "header-good header-later mended",
			told: "VirtualService b: it stays there as it was before the change",
		},
		// Nobody knows what it was before, and what it closed.
		"UnknownLeadsNowhere": {
			steps: meshes{routings(good, worse(300), other), routings(good, worse(300), other, later)},
			words: "header-good header-other header-later bad-one of-b", want: "header-good header-other header-later of-b",
			told: "VirtualService b: calls that it is about fail there",
		},
		"UnknownWithBadMatchIsShut": {
			steps: meshes{routings(good, badMatch)},
			words: "header-good header-x", want: "header-good",
			told: "VirtualService b: all calls to its hosts fail there",
		},
		// The pod came after it, and may never have run without it.
		"YoungPodGoesWithoutNothing": {
			steps: meshes{routings(good), routings(good, worse(99))},
			words: "header-good bad-one of-b", want: "header-good of-b",
			told: "VirtualService b: calls that it is about fail there",
		},
		// In the same second it counts who was seen first.
		"OfOneSecondTheFirst": {
			steps: meshes{routings(good), routings(good, worse(100))},
			words: "header-good bad-one of-b", want: "header-good",
			told: "VirtualService b: it is left out for it",
		},
		"OfOneSecondTheSecond": {
			steps: meshes{
				func(m *model.Mesh) { m.Workloads = m.Workloads[1:] },
				func(m *model.Mesh) { m.Workloads = all; routings(good, worse(100))(m) },
			},
			words: "header-good bad-one of-b", want: "header-good of-b",
			told: "VirtualService b: calls that it is about fail there",
		},
		"Two": {
			steps: meshes{routings(good), routings(good, worse(300), toService(2, "c", "bad-two", 300)), routings(good, worse(300), toService(2, "c", "bad-two", 300), toService(3, "later", "header-later", 301))},
			words: "header-good header-later bad-one bad-two", want: "header-good header-later",
			told: "VirtualService b: it is left out for it\nVirtualService c: it is left out for it",
		},
		"Mended": {
			steps: meshes{routings(good), routings(good, worse(300)), routings(good, toService(1, "b", "mended", 300))},
			words: "header-good mended", want: "header-good mended",
		},
		"Removed": {steps: meshes{routings(good), routings(good, worse(300)), routings(good)}, words: "header-good bad-one", want: "header-good"},
		"PolicyAsItWas": {
			steps: meshes{policies(how(1, "d", "x-was", 300)), policies(how(1, "d", "x-bad", 300)), policies(how(1, "d", "x-bad", 300), how(2, "e", "x-later", 301))},
			words: "x-was x-bad x-later kept.example", want: "x-was x-later kept.example",
			told: "DestinationRule d: it stays there as it was before the change",
		},
		// TLS is not given up.
		"UnknownPolicyKeepsTLS": {
			steps: meshes{policies(how(1, "d", "x-bad", 300))},
			words: "x-bad kept.example", want: "kept.example",
			told: "DestinationRule d: only its TLS settings and subsets hold there",
		},
		"GuardDenies": {
			steps: meshes{denies("/secret"), denies("/bad"), func(m *model.Mesh) { routings(good)(m) }},
			words: `/secret /bad "any":true header-good`, want: `"any":true header-good`,
			told: "AuthorizationPolicy guard: all that it guards is denied there",
		},
		"LogsAreLeftOut": {
			steps: meshes{logs("bad-one"), routings(good)},
			words: "header-good bad-one", want: "header-good",
			told: "Telemetry logs: it is left out for it",
		},
		"LogsStayAsTheyWere": {
			steps: meshes{logs("was-fine"), logs("bad-one"), routings(good)},
			words: "header-good was-fine bad-one", want: "header-good was-fine",
			told: "Telemetry logs: it stays there as it was before the change",
		},
		"GuardIsInnocent": {
			steps: meshes{denies("/secret"), routings(good, worse(300))},
			words: "/secret header-good bad-one", want: "/secret header-good",
			told: "VirtualService b: it is left out for it",
		},
	} {
		run := func(t *testing.T, whole bool) {
			w := newTown(t)
			w.whole = whole
			for _, change := range test.steps {
				w.now(change)
			}
			squeeze := strings.NewReplacer(": ", ":").Replace
			for k, text := range w.taken {
				w.taken[k] = squeeze(text)
			}
			if d := cmp.Diff(test.want, w.inForce(test.words)); d != "" {
				t.Errorf("in force -want +got:\n%s", d)
			}
			if d := cmp.Diff(test.told, w.told()); d != "" {
				t.Errorf("told -want +got:\n%s", d)
			}
			if test.told != "" && !strings.Contains(w.elsewhere("bad"), "bad") {
				t.Error("another pod goes without it, too")
			}
		}
		t.Run(name, func(t *testing.T) { run(t, false) })
		// As a client of state of the world, whose reason names nothing.
		t.Run(name+"/AsAWhole", func(t *testing.T) { run(t, true) })
	}
}

// TestSparedAmongMany: one of hundreds of objects that nobody has seen before is
// found in few steps, whichever it is.
func TestSparedAmongMany(t *testing.T) {
	for _, culprit := range []int{0, 120, 199} {
		w := newTown(t)
		w.now(func(m *model.Mesh) {
			for i := range 200 {
				r := toService(1, fmt.Sprintf("r%04d", i), "fine", int64(i))
				r.Hosts = []string{fmt.Sprintf("h%d.example", i)}
				if i == culprit {
					r.HTTP[0].Headers.Request.Set[0].Value = "bad"
				}
				m.Routings = append(m.Routings, r)
			}
		})
		if want := fmt.Sprintf("VirtualService r%04d: calls that it is about fail there", culprit); w.told() != want || w.pushes > 25 {
			t.Errorf("after %d pushes it is told %q, want %q", w.pushes, w.told(), want)
		}
	}
}

// TestSparedCostsLittle: what is the same for those that are spared something is
// the same for them by pointer, and who isn't sees what everybody sees.
func TestSparedCostsLittle(t *testing.T) {
	w := newTown(t)
	good, b := toService(0, "good", "header-good", 200), toService(1, "b", "bad-one", 300)
	w.now(func(m *model.Mesh) { m.Routings = []*model.Routing{good} })
	w.now(func(m *model.Mesh) { m.Routings = []*model.Routing{good, b} })
	spared, all := w.shown.View(w.pod(0)), w.shown.View(w.pod(1))
	if spared.Types[envoy.ClusterType].Shared != all.Types[envoy.ClusterType].Shared {
		t.Error("clusters, of which nothing is bad, are others")
	}
	w.now(func(m *model.Mesh) {
		m.Routings = []*model.Routing{good, b, toService(2, "later", "header-later", 999)}
	})
	if next := w.shown.View(w.pod(0)); next.Types[envoy.ClusterType].Shared != spared.Types[envoy.ClusterType].Shared || w.pushes > 0 {
		t.Errorf("after a change of routes, clusters are others, or it took %d pushes", w.pushes)
	}
}
