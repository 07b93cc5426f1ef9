// SPDX-License-Identifier: Apache-2.0

// Package layout says where everything of a lab lies: what is kept in the
// checkout's .lab folder, and the sockets, which need short paths, under /run.
// Every other package of the lab takes its paths from here.
package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// RunDir holds the sockets of all clusters, and the name of the checkout that
// they belong to.
const RunDir = "/run/isthmesh-lab"

// CgroupRoot is the parent, in every cgroup hierarchy, of the clusters' pods.
const CgroupRoot = "/isthmesh-lab"

// Prefix begins the name of every network interface and network namespace
// that the lab makes.
const Prefix = "ism-"

// Lab is the folder that a lab keeps its things in.
type Lab struct {
	// Checkout is the root of the repository.
	Checkout string
}

// Find returns the lab of the checkout that dir lies in. The checkout is the
// nearest folder upwards that holds kind-configs.
func Find(dir string) (Lab, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Lab{}, err
	}
	for at := abs; ; at = filepath.Dir(at) {
		switch _, err := os.Stat(filepath.Join(at, "kind-configs")); {
		case err == nil:
			return Lab{Checkout: at}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return Lab{}, err
		}
		if at == filepath.Dir(at) {
			return Lab{}, fmt.Errorf("no kind-configs folder in %s or above: run lab inside the checkout, or say --checkout", abs)
		}
	}
}

// Dir is the .lab folder itself.
func (l Lab) Dir() string { return filepath.Join(l.Checkout, ".lab") }

// Bin holds the built programs.
func (l Lab) Bin() string { return filepath.Join(l.Dir(), "bin") }

// Program is the path of one built program.
func (l Lab) Program(name string) string { return filepath.Join(l.Bin(), name) }

// Images holds one tarball per image.
func (l Lab) Images() string { return filepath.Join(l.Dir(), "images") }

// Cache holds what was fetched and may be used again.
func (l Lab) Cache() string { return filepath.Join(l.Dir(), "cache") }

// Kubeconfig is the admin kubeconfig of a cluster.
func (l Lab) Kubeconfig(cluster string) string {
	return filepath.Join(l.Dir(), cluster+".kubeconfig")
}

// Cluster returns the folders of one cluster.
func (l Lab) Cluster(name string) Cluster {
	return Cluster{
		Name: name,
		Dir:  filepath.Join(l.Dir(), name),
		Run:  filepath.Join(RunDir, name),
	}
}

// Clusters names the clusters that have a folder, sorted.
func (l Lab) Clusters() ([]string, error) {
	found, err := filepath.Glob(filepath.Join(l.Dir(), "*", specName))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	for _, path := range found {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	return names, nil
}

// Owned tells whether a path or a command line argument belongs to the given
// cluster; an empty cluster means any cluster of the machine's lab.
func (l Lab) Owned(text, cluster string) bool {
	if cluster != "" {
		c := l.Cluster(cluster)
		return within(text, c.Dir) || within(text, c.Run)
	}
	if within(text, RunDir) {
		return true
	}
	rest, found := strings.CutPrefix(text, l.Dir()+"/")
	if !found {
		return false
	}
	first, _, nested := strings.Cut(rest, "/")
	return nested && first != "bin" && first != "images" && first != "cache"
}

func within(text, dir string) bool {
	at := strings.Index(text, dir)
	if at < 0 {
		return false
	}
	rest := text[at+len(dir):]
	return rest == "" || rest[0] == '/'
}
