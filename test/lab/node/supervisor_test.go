// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"golang.org/x/sys/unix"
)

func TestSupervisorTellsWhoEnded(t *testing.T) {
	d := layout.Lab{Checkout: t.TempDir()}.Cluster("west")
	if err := os.MkdirAll(filepath.Dir(d.Log("x")), 0o755); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	s := newSupervisor(d, func() time.Time { return at })
	for _, c := range []component.Component{
		{Name: "fails", Path: "sh", Args: []string{"-c", "echo why; exit 3"}},
		{Name: "killed", Path: "sh", Args: []string{"-c", "kill -9 $$"}},
		{Name: "runs", Path: "sh", Args: []string{"-c", "read x < " + filepath.Join(d.Dir, "gate")}},
	} {
		if c.Name == "runs" {
			mkfifo(t, filepath.Join(d.Dir, "gate"))
		}
		if err := s.start(c); err != nil {
			t.Fatal(err)
		}
	}
	reaped := make(chan struct{})
	go func() { s.reap(); close(reaped) }()

	want := []State{{Name: "fails", Started: at, Ended: "exit status 3"}, {Name: "killed", Started: at, Ended: "signal: killed"}, {Name: "runs", Started: at}}
	eventually(t, func() string { return cmp.Diff(want, states(t, d)) })

	// Let the last one end, so that reap returns.
	if err := os.WriteFile(filepath.Join(d.Dir, "gate"), []byte("x\n"), 0); err != nil {
		t.Fatal(err)
	}
	<-reaped
	if got := states(t, d)[2].Ended; got != "exit status 0" {
		t.Errorf("ended with %q", got)
	}
	log, err := os.ReadFile(d.Log("fails"))
	if err != nil || string(log) != "why\n" {
		t.Errorf("log %q, %v", log, err)
	}
}

func TestSupervisorNamesMissingProgram(t *testing.T) {
	d := layout.Lab{Checkout: t.TempDir()}.Cluster("west")
	s := newSupervisor(d, time.Now)
	err := s.start(component.Component{Name: "etcd", Path: "no-such-program"})
	if err == nil || !strings.Contains(err.Error(), "etcd") {
		t.Errorf("got %v", err)
	}
}

func TestRunOnlyAsFirstProcess(t *testing.T) {
	if err := Run(t.Context(), component.Spec{}, strings.NewReader("x")); err == nil {
		t.Error("a node may run beside others")
	}
}

func states(t *testing.T, d layout.Cluster) []State {
	t.Helper()
	got, err := ReadStates(d)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until there is no difference any more.
func eventually(t *testing.T, difference func() string) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		diff := difference()
		if diff == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatal(diff)
		case <-tick.C:
		}
	}
}
