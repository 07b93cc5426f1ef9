// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/node"
	"github.com/isthmesh/isthmesh/test/lab/process"
	"github.com/isthmesh/isthmesh/test/lab/step"
	"github.com/isthmesh/isthmesh/test/lab/topology"
)

// cluster makes the files of a cluster whose node is the given process.
func cluster(t *testing.T, id process.Identity, states ...node.State) layout.Cluster {
	t.Helper()
	d := layout.Lab{Checkout: t.TempDir()}.Cluster("west")
	if err := os.MkdirAll(filepath.Dir(d.Log("x")), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := id.Write(d.Record()); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(states)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.States(), data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{nodeLog, "etcd"} {
		if err := os.WriteFile(d.Log(name), []byte("first\nlast of "+name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestHealth(t *testing.T) {
	self, err := process.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	gone := process.Identity{PID: self.PID, Start: self.Start + 1, Boot: self.Boot}
	cases := map[string]struct {
		id     process.Identity
		states []node.State
		want   []string
	}{
		"Healthy":   {self, []node.State{{Name: "etcd"}}, nil},
		"Component": {self, []node.State{{Name: "etcd", Ended: "exit status 1"}}, []string{"west: etcd has ended (exit status 1)", "lab stop west", "last of etcd"}},
		"Node":      {gone, []node.State{{Name: "etcd"}}, []string{"the node has ended", "last of node"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := health(cluster(t, c.id, c.states...))
			if len(c.want) == 0 && err != nil {
				t.Error(err)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

func TestPollEndsWithTheComponent(t *testing.T) {
	self, err := process.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	d := cluster(t, self, node.State{Name: "etcd", Ended: "exit status 1"})
	err = poll(t.Context(), d, "etcd", time.Millisecond, func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "etcd has ended") {
		t.Errorf("got %v", err)
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var log strings.Builder
	for i := range 2 * tail {
		fmt.Fprintf(&log, "line %d\n", i)
	}
	if err := os.WriteFile(path, []byte(log.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(lastLines(path), "\n")
	if len(got) != tail || got[tail-1] != fmt.Sprintf("    line %d", 2*tail-1) {
		t.Errorf("got %q", got)
	}
	if text := lastLines(path + "x"); !strings.Contains(text, "no such file") {
		t.Errorf("no log: %q", text)
	}
}

func TestKeys(t *testing.T) {
	lab := layout.Lab{Checkout: t.TempDir()}
	if err := os.MkdirAll(lab.Images(), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(lab.Images(), name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("hub.tar", "x")
	if _, err := keys(lab); err == nil || !strings.Contains(err.Error(), "hub.tar") {
		t.Errorf("no key: %v", err)
	}
	write("hub.key", "k")
	got, err := keys(lab)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"hub.tar": "k"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownCluster(t *testing.T) {
	var out bytes.Buffer
	lab := Lab{Layout: layout.Lab{Checkout: t.TempDir()}, Log: step.New(&out, time.Now), Now: time.Now}
	for name, err := range map[string]error{
		"Stop":  lab.Stop(t.Context(), "west"),
		"Start": lab.Start(t.Context(), "west"),
		"Load":  lab.Load(t.Context(), []string{"west"}),
		"Flat":  lab.Flat(t.Context(), "west", "east"),
	} {
		if err == nil || !strings.Contains(err.Error(), `no cluster "west"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := lab.Status(&out); err != nil || !strings.Contains(out.String(), "No clusters.") {
		t.Errorf("status: %v, %q", err, out.String())
	}
}

func TestAloneWaits(t *testing.T) {
	var out bytes.Buffer
	lab := Lab{Layout: layout.Lab{Checkout: t.TempDir()}, Log: step.New(&out, time.Now), Now: time.Now}
	err := lab.alone(t.Context(), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return lab.alone(ctx, func() error {
			t.Error("two at the same time")
			return nil
		})
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(out.String(), "waiting for another") {
		t.Errorf("got %v, %q", err, out.String())
	}
}

func TestWithPeer(t *testing.T) {
	east := component.Peer{Name: "east", PodCIDR: netip.MustParsePrefix("10.12.0.0/16")}
	once := withPeer(nil, east)
	if twice := withPeer(once, east); len(once) != 1 || len(twice) != 1 {
		t.Errorf("got %v, then %v", once, twice)
	}
}

func TestSpecIsWrittenAndRead(t *testing.T) {
	lab := layout.Lab{Checkout: t.TempDir()}
	spec := component.Spec{
		Cluster: topology.Cluster{
			Name: "unit-test", PodCIDR: netip.MustParsePrefix("10.99.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.199.0.0/16"),
		},
		NodeIP: netip.MustParseAddr("10.211.99.2"), Lab: lab,
	}
	if err := writeSpec(spec); err != nil {
		t.Fatal(err)
	}
	read, err := node.ReadSpec(spec.Dirs().Spec())
	if err != nil || read.NodeIP != spec.NodeIP {
		t.Errorf("got %v, %v", read, err)
	}
	if err := writeKubeconfig(spec); err == nil {
		t.Error("a kubeconfig without certificates")
	}
}
