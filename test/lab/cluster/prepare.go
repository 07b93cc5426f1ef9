// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/pki"
)

// writeSpec writes what the cluster is. From then on it exists.
func writeSpec(spec component.Spec) error {
	d := spec.Dirs()
	if err := os.MkdirAll(d.Dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(d.Spec(), append(data, '\n'), 0o644)
}

// prepare writes the cluster's certificates, configuration and kubeconfig, and
// empties the folder of its sockets.
func prepare(spec component.Spec, now time.Time) error {
	d := spec.Dirs()
	if err := os.RemoveAll(d.Run); err != nil {
		return err
	}
	for _, dir := range []string{d.Run, d.PodLogs(), d.Data(component.Etcd), d.Data(component.Containerd), d.Data(component.Kubelet), d.Data("volume-plugins")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// etcd refuses a folder that others may read.
	if err := os.Chmod(d.Data(component.Etcd), 0o700); err != nil {
		return err
	}
	if err := pki.Ensure(d.Data("pki"), spec.Names(), now); err != nil {
		return err
	}
	files, err := component.Files(spec)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.MkdirAll(filepath.Dir(file.Path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file.Path, file.Data, 0o644); err != nil {
			return err
		}
	}
	return writeKubeconfig(spec)
}

func writeKubeconfig(spec component.Spec) error {
	dir := spec.Dirs().Data("pki")
	ca, err := pki.Read(dir, pki.CA)
	if err != nil {
		return err
	}
	admin, err := pki.Read(dir, pki.Admin)
	if err != nil {
		return err
	}
	data, err := component.AdminKubeconfig(spec, ca.Cert, admin)
	if err != nil {
		return err
	}
	return os.WriteFile(spec.Lab.Kubeconfig(spec.Cluster.Name), data, 0o600)
}

// claim marks the machine's lab as this checkout's. Names and addresses of a
// lab are the machine's, so two checkouts cannot have one at the same time.
func claim(lab layout.Lab) error {
	if err := os.MkdirAll(layout.RunDir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(layout.RunDir, "checkout")
	owner, err := os.ReadFile(path)
	if err == nil && string(owner) != lab.Checkout {
		return fmt.Errorf("the lab of %s is up on this machine: run `lab down` there first, or remove %s if that checkout is gone", owner, path)
	}
	return os.WriteFile(path, []byte(lab.Checkout), 0o644)
}
