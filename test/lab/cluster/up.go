// SPDX-License-Identifier: Apache-2.0

// Package cluster brings the lab's clusters up and down, switches them off and
// on, and tells how they are. It comes after everything else of the lab but
// the command line: topology says what is wanted, component how it is made,
// node runs it, machine connects it.
package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/addon"
	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/machine"
	"github.com/isthmesh/isthmesh/test/lab/step"
	"github.com/isthmesh/isthmesh/test/lab/topology"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// perCluster is how much memory a cluster takes, with room for a few pods.
const perCluster = 1 << 30

// patience is how long one cluster may take to become ready.
const patience = 10 * time.Minute

// Lab is the clusters of one checkout.
type Lab struct {
	Layout layout.Lab
	Log    *step.Log
	Now    func() time.Time
}

// Up makes the clusters that do not exist, switches on those that are off, and
// returns when all are ready: node ready, cluster DNS available, images
// loaded. Clusters that are up are only checked.
func (l Lab) Up(ctx context.Context, clusters []topology.Cluster) error {
	return l.alone(ctx, func() error { return l.upAll(ctx, clusters) })
}

func (l Lab) upAll(ctx context.Context, clusters []topology.Cluster) error {
	host, err := l.begin(clusters)
	if err != nil {
		return err
	}
	parallel, err := l.parallel(len(clusters))
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, c := range clusters {
		group.Go(func() error {
			nodeIP, err := c.NodeIP()
			if err != nil {
				return err
			}
			spec := component.Spec{Cluster: c, NodeIP: nodeIP, Lab: l.Layout, Host: host}
			return l.Log.Do(c.Name+": ready", func() error { return l.up(ctx, spec) })
		})
	}
	return group.Wait()
}

// Start switches a cluster on that was switched off.
func (l Lab) Start(ctx context.Context, name string) error {
	return l.alone(ctx, func() error {
		spec, err := l.spec(name)
		if err != nil {
			return err
		}
		if _, err := l.begin(nil); err != nil {
			return err
		}
		return l.Log.Do(name+": ready", func() error { return l.up(ctx, spec) })
	})
}

// begin does what all clusters share, and finds out about the machine.
func (l Lab) begin(wanted []topology.Cluster) (component.Host, error) {
	if err := os.MkdirAll(l.Layout.Dir(), 0o755); err != nil {
		return component.Host{}, err
	}
	host, err := machine.Inspect(l.Layout.Dir())
	if err != nil {
		return component.Host{}, err
	}
	for _, program := range []string{"kube", "lab"} {
		if _, err := os.Stat(l.Layout.Program(program)); err != nil {
			return component.Host{}, fmt.Errorf("%s is not built: run `lab build`: %w", program, err)
		}
	}
	existing, err := l.specs()
	if err != nil {
		return component.Host{}, err
	}
	for _, spec := range existing {
		same := func(c topology.Cluster) bool { return c.Name == spec.Cluster.Name }
		if at := slices.IndexFunc(wanted, same); at < 0 {
			wanted = append(wanted, spec.Cluster)
		} else if wanted[at].PodCIDR != spec.Cluster.PodCIDR || wanted[at].ServiceCIDR != spec.Cluster.ServiceCIDR {
			return component.Host{}, fmt.Errorf("cluster %q exists with other subnets (from %s): run `lab down %s` first", spec.Cluster.Name, spec.Cluster.Source, spec.Cluster.Name)
		}
	}
	if err := topology.Check(wanted); err != nil {
		return component.Host{}, err
	}
	shortage, err := machine.InotifyShortage(len(wanted))
	if err != nil {
		return component.Host{}, err
	}
	if shortage != "" {
		l.Log.Warn("%s", shortage)
	}
	if err := claim(l.Layout); err != nil {
		return component.Host{}, err
	}
	return host, machine.EnsureSwitch()
}

// parallel is how many clusters may be brought up at the same time.
func (l Lab) parallel(clusters int) (int, error) {
	free, err := machine.FreeMemory()
	if err != nil {
		return 0, err
	}
	room := int(free / perCluster)
	if room < clusters {
		l.Log.Warn("%d MiB of memory are free, and a cluster takes about %d", free>>20, perCluster>>20)
	}
	return min(max(room, 1), max(clusters, 1)), nil
}

func (l Lab) up(ctx context.Context, spec component.Spec) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d := spec.Dirs()
	up, err := running(d)
	if err != nil {
		return err
	}
	if !up {
		if err := l.boot(ctx, spec); err != nil {
			return err
		}
	}
	if err := health(d); err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error { return l.loadImages(ctx, spec) })
	group.Go(func() error { return l.becomeReady(ctx, spec) })
	return group.Wait()
}

// boot starts a cluster whose node does not run, whatever is left of it.
func (l Lab) boot(ctx context.Context, spec component.Spec) error {
	d := spec.Dirs()
	if old, err := l.spec(d.Name); err == nil {
		spec.Flat = old.Flat
	}
	if err := powerOff(ctx, d); err != nil {
		return err
	}
	if err := writeSpec(spec); err != nil {
		return err
	}
	if err := prepare(spec, l.Now()); err != nil {
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	if err := powerOn(spec); err != nil {
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	return nil
}

func (l Lab) loadImages(ctx context.Context, spec component.Spec) error {
	var names []string
	begin := l.Now()
	names, err := load(ctx, spec)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		l.Log.Note("%s: loaded images %s (%.1f s)", spec.Cluster.Name, strings.Join(names, ", "), l.Now().Sub(begin).Seconds())
	}
	return nil
}

// becomeReady waits for the API server, applies what every cluster has, and
// waits until it works.
func (l Lab) becomeReady(ctx context.Context, spec component.Spec) error {
	d := spec.Dirs()
	config, err := clientcmd.BuildConfigFromFlags("", l.Layout.Kubeconfig(d.Name))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := l.Log.Do(d.Name+": API server ready", func() error {
		return poll(ctx, d, "the API server", 100*time.Millisecond, func(ctx context.Context) error {
			return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		})
	}); err != nil {
		return err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := poll(ctx, d, "the cluster DNS's objects", 200*time.Millisecond, func(ctx context.Context) error {
		return addon.CreateDNS(ctx, objects, component.CoreDNSImage, spec.DNS())
	}); err != nil {
		return err
	}
	since, err := switchedOn(d)
	if err != nil {
		return err
	}
	if err := l.Log.Do(d.Name+": node ready", func() error {
		return poll(ctx, d, "the node", 100*time.Millisecond, func(ctx context.Context) error {
			return addon.NodeReady(ctx, client, d.Node(), since)
		})
	}); err != nil {
		return err
	}
	return l.Log.Do(d.Name+": cluster DNS available", func() error {
		return poll(ctx, d, "the cluster DNS", 100*time.Millisecond, func(ctx context.Context) error {
			return addon.DNSAvailable(ctx, client, since)
		})
	})
}
