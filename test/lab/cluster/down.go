// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/machine"
)

// Down ends clusters and removes all that was made for them. Without names it
// takes the whole lab down. What is already gone is no error.
func (l Lab) Down(ctx context.Context, names []string) error {
	return l.alone(ctx, func() error { return l.downAll(ctx, names) })
}

func (l Lab) downAll(ctx context.Context, names []string) error {
	if len(names) == 0 {
		var err error
		if names, err = l.Layout.Clusters(); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, l.Log.Do(name+": down", func() error { return l.down(ctx, name) }))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	left, err := l.Layout.Clusters()
	if err != nil || len(left) > 0 {
		return err
	}
	return l.end()
}

func (l Lab) down(ctx context.Context, name string) error {
	d := l.Layout.Cluster(name)
	if err := powerOff(ctx, d); err != nil {
		return err
	}
	if err := refuseMounts(d.Dir); err != nil {
		return err
	}
	if err := os.Remove(l.Layout.Kubeconfig(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(d.Dir)
}

// end removes what the clusters shared.
func (l Lab) end() error {
	if err := machine.RemoveSwitch(); err != nil {
		return err
	}
	if err := machine.RemoveEmptyCgroup(layout.CgroupRoot); err != nil {
		return err
	}
	return os.RemoveAll(layout.RunDir)
}

// refuseMounts guards a removal: nothing of the machine may be mounted below
// what is going to be removed.
func refuseMounts(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	if bytes.Contains(mounts, []byte(" "+dir+"/")) {
		return fmt.Errorf("something is mounted below %s: unmount it first", dir)
	}
	return nil
}

// Stop switches a cluster off, as a power cut would. Start brings it back with
// its data.
func (l Lab) Stop(ctx context.Context, name string) error {
	return l.alone(ctx, func() error {
		if _, err := l.spec(name); err != nil {
			return err
		}
		return l.Log.Do(name+": off", func() error { return powerOff(ctx, l.Layout.Cluster(name)) })
	})
}

// Load imports the images into running clusters, all if none is named.
func (l Lab) Load(ctx context.Context, names []string) error {
	return l.alone(ctx, func() error { return l.loadAll(ctx, names) })
}

func (l Lab) loadAll(ctx context.Context, names []string) error {
	specs, err := l.pick(names)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		if err := health(spec.Dirs()); err != nil {
			return err
		}
		if err := l.loadImages(ctx, spec); err != nil {
			return err
		}
	}
	return nil
}
