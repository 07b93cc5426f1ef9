// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/node"
)

// pick returns the specs of the named clusters, or of all.
func (l Lab) pick(names []string) ([]component.Spec, error) {
	if len(names) == 0 {
		return l.specs()
	}
	var specs []component.Spec
	for _, name := range names {
		spec, err := l.spec(name)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

func (l Lab) specs() ([]component.Spec, error) {
	names, err := l.Layout.Clusters()
	if err != nil {
		return nil, err
	}
	specs := make([]component.Spec, 0, len(names))
	for _, name := range names {
		spec, err := l.spec(name)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

func (l Lab) spec(name string) (component.Spec, error) {
	path := l.Layout.Cluster(name).Spec()
	spec, err := node.ReadSpec(path)
	if errors.Is(err, fs.ErrNotExist) {
		return spec, fmt.Errorf("no cluster %q in %s", name, filepath.Dir(filepath.Dir(path)))
	}
	return spec, err
}
