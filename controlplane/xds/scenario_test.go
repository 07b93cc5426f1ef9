// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/isthmesh/isthmesh/controlplane/xds"
)

var update = flag.Bool("update", false, "write what was seen into the scenarios")

// TestScenarios plays testdata/scenarios against a server over gRPC. A scenario
// is a txtar file: a comment, the file "script", and a file per world that can
// be pushed. The lines of a script are commands, each followed by what the
// clients get because of it ("<"):
//
//	push WORLD
//	connect [sotw] [client=NAME] [pod=P] [ns=N] [sa=S] [expires=D] [auto] [META=value ...]
//	sub TYPE name ...             "*" for all; in sotw, all that is wanted
//	unsub TYPE name ...
//	resume TYPE name ...          the first request after a reconnect, with what the client of that name had
//	ack TYPE [nonce=N] [name ...] subscribing to names in the same request
//	nack TYPE reason ...
//	wait DURATION
//	healthy, unhealthy reason ... reports of a machine, whose AUTO_REGISTER_GROUP is not "closed"
//	disconnect
//	state                         prints Proxies
//	metric NAME                   prints a metric
//
// A command goes to client "a", or to another one as "b: sub CDS".
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script := &archive.Files[slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "script" })]
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, archive, string(script.Data)) })
			if *update {
				script.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(strings.Split(string(script.Data), "\n"), strings.Split(got, "\n")); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// stage is where a scenario plays.
type stage struct {
	*harness
	worlds  map[string]*world
	clients map[string]*client
	ends    map[string]context.CancelFunc
}

func play(t *testing.T, archive *txtar.Archive, script string) string {
	h := start(t, xds.Limits{Subscriptions: 8, Streams: 2})
	s := &stage{harness: h, worlds: map[string]*world{}, clients: map[string]*client{}, ends: map[string]context.CancelFunc{}}
	defer func() {
		for _, end := range s.ends {
			end()
		}
		h.stop()
	}()
	b := newBuilder()
	for _, f := range archive.Files {
		if f.Name == "script" {
			continue
		}
		w, err := b.world(string(f.Data))
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		s.worlds[f.Name] = w
	}
	var out strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "<") {
			continue
		}
		out.WriteString(line)
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		said, err := s.do(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(line), err)
		}
		synctest.Wait()
		for _, l := range append(said, s.machines.heard()...) {
			fmt.Fprintf(&out, "< %s\n", l)
		}
		for _, name := range slices.Sorted(maps.Keys(s.clients)) {
			for _, l := range s.clients[name].told() {
				if name != "a" {
					l = "< " + name + ":" + strings.TrimPrefix(l, "<")
				}
				out.WriteString(l + "\n")
			}
		}
	}
	return out.String()
}

func (s *stage) do(line string) ([]string, error) {
	who := "a"
	if name, rest, ok := strings.Cut(line, ": "); ok && !strings.Contains(name, " ") {
		who, line = name, rest
	}
	f := strings.Fields(line)
	c := s.clients[who]
	switch f[0] {
	case "push":
		if s.worlds[f[1]] == nil {
			return nil, fmt.Errorf("no world %q", f[1])
		}
		s.server.Push(s.worlds[f[1]])
		return nil, nil
	case "wait":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			return nil, err
		}
		<-time.After(d) // of the bubble's clock
		return nil, nil
	case "connect":
		return nil, s.connect(who, f[1:])
	case "disconnect":
		s.ends[who]()
		return nil, nil
	case "state":
		return s.state(), nil
	case "metric":
		return s.metric(f[1])
	case "sub":
		return nil, c.send(request{short: f[1], subscribe: f[2:], answer: c.sotw != nil && c.nonce[f[1]] != ""})
	case "unsub":
		return nil, c.send(request{short: f[1], unsubscribe: f[2:]})
	case "resume":
		old := s.clients["old "+who]
		c.inherit(f[1], old)
		return nil, c.send(request{short: f[1], subscribe: f[2:], initial: old.versions[f[1]], version: old.versions[f[1]][""]})
	case "healthy", "unhealthy":
		return nil, c.send(request{short: "HEALTH", reject: strings.Join(f[1:], " ")})
	case "nack":
		return nil, c.send(request{short: f[1], answer: true, reject: strings.Join(f[2:], " ")})
	case "ack":
		r := request{short: f[1], answer: true, subscribe: f[2:]}
		if len(f) > 2 && strings.HasPrefix(f[2], "nonce=") {
			r.nonce, r.subscribe = strings.TrimPrefix(f[2], "nonce="), f[3:]
		}
		return nil, c.send(r)
	}
	return nil, fmt.Errorf("unknown command")
}

func (s *stage) connect(who string, args []string) error {
	o := map[string]string{"pod": "p-1", "ns": "shop", "sa": "reviews"}
	meta := map[string]any{}
	sotw, auto := false, false
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		switch {
		case a == "sotw":
			sotw = true
		case a == "auto":
			auto = true
		case k == "LABELS":
			meta[k] = map[string]any{"class": v}
		case k == "PROXY_CONFIG":
			meta[k] = map[string]any{v: map[string]any{}}
		case strings.ToUpper(k) == k:
			meta[k] = v
		default:
			o[k] = v
		}
	}
	ctx, cancel := context.WithCancel(as(context.Background(), "ns", o["ns"], "sa", o["sa"], "pod", o["bound"], "expires", o["expires"]))
	n := proxyNode(o["pod"], "shop", meta)
	if id, ok := o["id"]; ok {
		n.Id = id
	}
	c, err := dial(ctx, s.conn, n, sotw)
	if err != nil {
		cancel()
		return err
	}
	c.auto = auto
	if old := s.clients[who]; old != nil {
		s.clients["old "+who] = old
	}
	s.clients[who], s.ends[who] = c, cancel
	return nil
}

// state of the proxies, one line per type that was asked for.
func (s *stage) state() []string {
	var out []string
	for _, p := range s.server.Proxies() {
		out = append(out, fmt.Sprintf("%s cluster=%s version=%s %s", p.ID, p.Cluster, p.Version, p.Identity))
		for _, t := range p.Types {
			if t.State == xds.NotSent {
				continue
			}
			line := fmt.Sprintf("  %s %s sent=%s acked=%s", shortName[t.TypeURL], t.State, t.Sent, t.Acked)
			if t.Nack != nil {
				line += fmt.Sprintf(" rejected %v: %s", t.Nack.Resources, t.Nack.Message)
			}
			out = append(out, line)
		}
	}
	for _, r := range s.server.Rejections() {
		out = append(out, fmt.Sprintf("refused now by %s.%s: %s %q: %s", r.Proxy.Name, r.Proxy.Namespace, shortName[r.TypeURL], r.Resource, r.Reason))
	}
	return out
}

func (s *stage) metric(name string) ([]string, error) {
	families, err := s.registry.Gather()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if f.GetName() != name || v == 0 {
				continue
			}
			var pairs []string
			for _, l := range m.GetLabel() {
				pairs = append(pairs, l.GetName()+"="+l.GetValue())
			}
			out = append(out, fmt.Sprintf("%s{%s} %g", name, strings.Join(pairs, ","), v))
		}
	}
	return out, nil
}
