// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// rewritten are the listeners of one class of proxies after a change, each made once from the
// resource that it was. What is still good of the class before is taken over, with its pointers.
type rewritten struct {
	mu            sync.Mutex
	made, earlier rewrittenParts
}

// rewrittenParts are results by what they were made of.
type rewrittenParts struct {
	resources map[*envoy.Resource]rewrittenResource
	layers    map[*envoy.Layer]*envoy.Layer
}

// rewrittenResource is nil when there is no such listener any more.
type rewrittenResource struct {
	now *envoy.Resource
	err error
}

// parts that were made, or are still the earlier ones.
func (w *rewritten) parts() rewrittenParts {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.made.layers) == 0 {
		return w.earlier
	}
	return w.made
}

// layer of listeners after the change, which is the same function each time; itself when it
// changes none.
func (w *rewritten) layer(l *envoy.Layer, change func(*envoy.Resource) (*envoy.Resource, error)) *envoy.Layer {
	if l == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now, ok := w.made.layers[l]; ok {
		return now
	}
	if w.made.layers == nil {
		w.made = rewrittenParts{resources: map[*envoy.Resource]rewrittenResource{}, layers: map[*envoy.Layer]*envoy.Layer{}}
	}
	was, kept := w.earlier.layers[l]
	changed := false
	resources := make([]*envoy.Resource, 0, len(l.Resources()))
	for _, r := range l.Resources() {
		is, ok := w.made.resources[r]
		if !ok {
			is, ok = w.earlier.resources[r]
		}
		if !ok {
			is.now, is.err = change(r)
		}
		w.made.resources[r] = is
		changed = changed || is.now != r
		if is.now != nil {
			resources = append(resources, is.now)
		}
	}
	now := l
	switch {
	case kept:
		now = was
	case changed:
		now, _ = envoy.NewLayer(resources)
	}
	w.made.layers[l] = now
	return now
}

// faults of the changes, in any order.
func (w *rewritten) faults() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []error
	for _, r := range w.made.resources {
		if r.err != nil {
			out = append(out, r.err)
		}
	}
	return out
}
