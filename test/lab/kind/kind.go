// SPDX-License-Identifier: Apache-2.0

// Package kind makes the lab's clusters with kind, where Docker is. It takes
// the place of node and machine; the topology, the images, the kubeconfigs and
// the load balancer are the lab's. It is thin: kind does the work.
package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/process"
	"github.com/isthmesh/isthmesh/test/lab/step"
	"github.com/isthmesh/isthmesh/test/lab/topology"
	"k8s.io/client-go/tools/clientcmd"
)

// Provider runs kind. Run and Start are how it reaches the machine.
type Provider struct {
	Lab layout.Lab
	Log *step.Log
	// Run runs a command and returns what it prints.
	Run func(ctx context.Context, command ...string) ([]byte, error)
	// Start starts a command that lives on, with its output in a log.
	Start func(log string, command ...string) (process.Identity, error)
}

// Up makes the clusters that kind does not have, writes their kubeconfigs,
// loads the images and starts a load balancer for each.
func (p Provider) Up(ctx context.Context, clusters []topology.Cluster) error {
	out, err := p.Run(ctx, "kind", "get", "clusters", "--quiet")
	if err != nil {
		return fmt.Errorf("ask kind for its clusters (is kind installed, and Docker running?): %w", err)
	}
	existing := strings.Fields(string(out))
	for _, c := range clusters {
		if !slices.Contains(existing, c.Name) {
			err := p.Log.Long(c.Name+": create", "kind takes about a minute", func() error {
				_, err := p.Run(ctx, "kind", "create", "cluster", "--config", c.Source, "--name", c.Name,
					"--kubeconfig", p.kindKubeconfig(c.Name), "--wait", "5m")
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		if err := p.connect(ctx, c.Name); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return p.Load(ctx, names(clusters))
}

func names(clusters []topology.Cluster) []string {
	all := make([]string, 0, len(clusters))
	for _, c := range clusters {
		all = append(all, c.Name)
	}
	return all
}

// kindKubeconfig takes what kind writes when it creates a cluster, so that
// the user's own kubeconfig stays as it is.
func (p Provider) kindKubeconfig(name string) string {
	return filepath.Join(p.Lab.Cluster(name).Dir, "kind.kubeconfig")
}

// record is the load balancer of a cluster; it also marks the cluster as one
// that the lab had kind make.
func (p Provider) record(name string) string {
	return filepath.Join(p.Lab.Cluster(name).Dir, "kind-loadbalancer.json")
}

// connect writes the kubeconfig and starts the load balancer.
func (p Provider) connect(ctx context.Context, name string) error {
	d := p.Lab.Cluster(name)
	if err := os.MkdirAll(d.Dir, 0o755); err != nil {
		return err
	}
	external, err := p.Run(ctx, "kind", "get", "kubeconfig", "--name", name)
	if err != nil {
		return err
	}
	address, err := p.Run(ctx, "docker", "inspect", "--format", "{{.NetworkSettings.Networks.kind.IPAddress}}", d.Node())
	if err != nil {
		return err
	}
	kubeconfig, err := Kubeconfig(name, external, strings.TrimSpace(string(address)))
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.Lab.Kubeconfig(name), kubeconfig, 0o600); err != nil {
		return err
	}
	id, err := process.Read(p.record(name))
	if err == nil && id.Alive() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id, err = p.Start(filepath.Join(d.Dir, "loadbalancer.log"), p.Lab.Program("lab"), "loadbalancer", "--kubeconfig", p.Lab.Kubeconfig(name))
	if err != nil {
		return fmt.Errorf("start load balancer: %w", err)
	}
	return id.Write(p.record(name))
}

// Kubeconfig turns the kubeconfig that kind gives for a cluster, which says
// 127.0.0.1, into one that works from the machine and from other clusters'
// pods alike: it names the node's address, and its context after the cluster.
func Kubeconfig(name string, external []byte, address string) ([]byte, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return nil, fmt.Errorf("address of the node: %w", err)
	}
	config, err := clientcmd.Load(external)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of kind: %w", err)
	}
	old, found := config.Contexts[config.CurrentContext]
	if !found || config.Clusters[old.Cluster] == nil {
		return nil, fmt.Errorf("kubeconfig of kind: no context %q with a cluster", config.CurrentContext)
	}
	config.Clusters[old.Cluster].Server = "https://" + netip.AddrPortFrom(ip, 6443).String()
	delete(config.Contexts, config.CurrentContext)
	config.Contexts[name] = old
	config.CurrentContext = name
	return clientcmd.Write(*config)
}

// Load loads the product's images into clusters, all of ours if none is named.
func (p Provider) Load(ctx context.Context, names []string) error {
	names, err := p.ours(names)
	if err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(p.Lab.Images(), "*.tar"))
	if err != nil {
		return err
	}
	for _, name := range names {
		for _, archive := range archives {
			image := strings.TrimSuffix(filepath.Base(archive), ".tar")
			if strings.HasPrefix(image, "lab-") {
				continue // kind has its own
			}
			err := p.Log.Do(name+": load image "+image, func() error {
				_, err := p.Run(ctx, "kind", "load", "image-archive", archive, "--name", name)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// Down removes clusters, all of ours if none is named.
func (p Provider) Down(ctx context.Context, names []string) error {
	names, err := p.ours(names)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, p.Log.Do(name+": down", func() error { return p.down(ctx, name) }))
	}
	return errors.Join(errs...)
}

func (p Provider) down(ctx context.Context, name string) error {
	id, err := process.Read(p.record(name))
	if err == nil {
		err = id.Kill(ctx)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := p.Run(ctx, "kind", "delete", "cluster", "--name", name, "--kubeconfig", p.kindKubeconfig(name)); err != nil {
		return err
	}
	if err := os.Remove(p.Lab.Kubeconfig(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(p.Lab.Cluster(name).Dir)
}

func (p Provider) ours(names []string) ([]string, error) {
	if len(names) > 0 {
		return names, nil
	}
	records, err := filepath.Glob(p.record("*"))
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		names = append(names, filepath.Base(filepath.Dir(record)))
	}
	return names, nil
}

// Run runs a command of this machine.
func Run(ctx context.Context, command ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}
