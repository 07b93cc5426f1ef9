// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/process"
)

// The names of this test's cluster and checkout are no real lab's.
const name = "unit-test"

func TestLeftovers(t *testing.T) {
	lab := layout.Lab{Checkout: t.TempDir()}
	d := lab.Cluster(name)
	if left, err := Leftovers(lab, name); err != nil || len(left) > 0 {
		t.Fatalf("before anything was made: %q, %v", left, err)
	}
	if err := os.MkdirAll(d.Data("etcd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lab.Kubeconfig(name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.Data("log"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	id, err := process.Start(filepath.Join(t.TempDir(), "log"), "tail", "-f", d.Data("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = id.Kill(t.Context()) }()
	left, err := Leftovers(lab, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("process %d: ", id.PID), "file " + d.Dir, "file " + lab.Kubeconfig(name)} {
		if !slices.ContainsFunc(left, func(got string) bool { return strings.HasPrefix(got, want) }) {
			t.Errorf("no %q in %q", want, left)
		}
	}
}

func TestInotifyShortage(t *testing.T) {
	if text, err := InotifyShortage(0); err != nil || text != "" {
		t.Errorf("for no cluster: %q, %v", text, err)
	}
	if text, err := InotifyShortage(1 << 24); err != nil || !strings.Contains(text, "sysctl -w") {
		t.Errorf("for very many clusters: %q, %v", text, err)
	}
}

func TestHardwareAddress(t *testing.T) {
	if got := hardwareAddress(netip.MustParseAddr("10.211.11.2")).String(); got != "02:69:0a:d3:0b:02" {
		t.Errorf("got %s", got)
	}
}

func TestRemoveTree(t *testing.T) {
	root := filepath.Join(t.TempDir(), "pods")
	if err := removeTree(root); err != nil {
		t.Errorf("absent: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestInspectNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if got := Missing(); !slices.Contains(got, "etcd-server") || !slices.IsSorted(got) {
		t.Errorf("got %q", got)
	}
	if os.Geteuid() != 0 {
		return
	}
	if _, err := Inspect(t.TempDir()); err == nil || !strings.Contains(err.Error(), "etcd-server") {
		t.Errorf("got %v", err)
	}
}
