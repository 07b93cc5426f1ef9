// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	for _, dir := range []string{deep, filepath.Join(root, "kind-configs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lab, err := Find(deep)
	if err != nil {
		t.Fatal(err)
	}
	if lab.Checkout != root {
		t.Errorf("checkout %s, want %s", lab.Checkout, root)
	}
	if _, err := Find(t.TempDir()); err == nil {
		t.Error("found a checkout where none is")
	}
}

func TestOwned(t *testing.T) {
	lab := Lab{Checkout: "/src"}
	cases := map[string]struct {
		text, cluster string
		want          bool
	}{
		"Data":         {"/src/.lab/west/etcd", "west", true},
		"InAFlag":      {"--data-dir=/src/.lab/west", "west", true},
		"Socket":       {"/run/isthmesh-lab/west/containerd.sock", "west", true},
		"LongerName":   {"/src/.lab/west2/etcd", "west", false},
		"Other":        {"/src/.lab/east/etcd", "west", false},
		"Any":          {"/src/.lab/east/etcd", "", true},
		"AnySocket":    {"/run/isthmesh-lab/east/x.sock", "", true},
		"Program":      {"/src/.lab/bin/kubectl", "", false},
		"Kubeconfig":   {"--kubeconfig=/src/.lab/west.kubeconfig", "", false},
		"Image":        {"/src/.lab/images/hub.tar", "", false},
		"Elsewhere":    {"/srv/.lab/west/etcd", "", false},
		"RunElsewhere": {"/run/isthmesh-labs/x", "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := lab.Owned(c.text, c.cluster); got != c.want {
				t.Errorf("Owned(%q, %q) = %t", c.text, c.cluster, got)
			}
		})
	}
}

func TestClusters(t *testing.T) {
	lab := Lab{Checkout: t.TempDir()}
	for _, name := range []string{"west", "east"} {
		if err := os.MkdirAll(lab.Cluster(name).Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(lab.Cluster(name).Spec(), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(lab.Images(), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := lab.Clusters()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"east", "west"}, got); diff != "" {
		t.Error(diff)
	}
}

// Linux takes 107 bytes for the path of a socket.
func TestSocketsAreShort(t *testing.T) {
	socket := Lab{Checkout: "/a/very/long/path/" + string(make([]byte, 200))}.Cluster("a-long-name").Socket("containerd")
	if len(socket) > 100 {
		t.Errorf("%s has %d bytes", socket, len(socket))
	}
}
