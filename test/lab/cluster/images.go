// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"golang.org/x/sync/errgroup"
)

// labImages are the tarballs without which no pod starts.
var labImages = []string{"lab-pause.tar", "lab-coredns.tar"}

// load imports every image of the lab's folder that the cluster's containerd
// does not have yet. It returns the names of what it imported.
func load(ctx context.Context, spec component.Spec) ([]string, error) {
	d := spec.Dirs()
	have, err := keys(spec.Lab)
	if err != nil {
		return nil, err
	}
	for _, name := range labImages {
		if have[name] == "" {
			return nil, fmt.Errorf("no %s in %s: run `lab images`", name, spec.Lab.Images())
		}
	}
	loaded, err := readLoaded(d)
	if err != nil {
		return nil, err
	}
	if err := waitForSocket(ctx, d); err != nil {
		return nil, err
	}
	var names []string
	var imports errgroup.Group
	imports.SetLimit(2)
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if loaded[name] == have[name] {
			continue
		}
		names = append(names, strings.TrimSuffix(name, ".tar"))
		imports.Go(func() error {
			cmd := exec.CommandContext(ctx, "ctr", "--address", d.Socket(component.Containerd), "--namespace", "k8s.io",
				"image", "import", "--snapshotter", spec.Host.Snapshotter, filepath.Join(spec.Lab.Images(), name))
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("import %s into %s: %w: %s", name, d.Name, err, strings.TrimSpace(string(out)))
			}
			return nil
		})
	}
	if err := imports.Wait(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(have, "", "  ")
	if err != nil {
		return nil, err
	}
	return names, os.WriteFile(d.Loaded(), append(data, '\n'), 0o644)
}

// keys maps the tarballs of the lab's folder to the hash of what they were made
// of, which is in a file beside each.
func keys(lab layout.Lab) (map[string]string, error) {
	paths, err := filepath.Glob(filepath.Join(lab.Images(), "*.tar"))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, path := range paths {
		key, err := os.ReadFile(strings.TrimSuffix(path, ".tar") + ".key")
		if err != nil {
			return nil, fmt.Errorf("image %s was not made by `lab images`: %w", path, err)
		}
		found[filepath.Base(path)] = string(key)
	}
	return found, nil
}

func readLoaded(d layout.Cluster) (map[string]string, error) {
	data, err := os.ReadFile(d.Loaded())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var loaded map[string]string
	if err := json.Unmarshal(data, &loaded); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Loaded(), err)
	}
	return loaded, nil
}

// waitForSocket waits until containerd answers.
func waitForSocket(ctx context.Context, d layout.Cluster) error {
	return poll(ctx, d, "containerd to answer", 50*time.Millisecond, func(ctx context.Context) error {
		return exec.CommandContext(ctx, "ctr", "--address", d.Socket(component.Containerd), "version").Run()
	})
}
