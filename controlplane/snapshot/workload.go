// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// workloads holds what the sidecars that asked take themselves.
type workloads struct {
	mu sync.Mutex
	of map[workloadKey]*workload
}

type workloadKey struct{ namespace, name string }

type workload struct {
	in  *model.Workload
	own lazy[inbound]
}

// inbound is what a sidecar takes.
type inbound struct{ clusters, listeners *envoy.Layer }

// next keeps what still holds for a mesh.
func (w *workloads) next(mesh *model.Mesh) *workloads {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := &workloads{of: make(map[workloadKey]*workload, len(w.of))}
	for k, old := range w.of {
		now := mesh.Workload(k.namespace, k.name)
		switch {
		case now == old.in || old.in == sidecar.Stranger:
			out.of[k] = old
		case now != nil:
			fresh := &workload{in: now}
			fresh.own.earlier = old.own.peek()
			out.of[k] = fresh
		}
	}
	return out
}

// inbound of a workload; of a stranger when it is nil.
func (w *workloads) inbound(s *model.Settings, in *model.Workload) inbound {
	if in == nil {
		in = sidecar.Stranger
	}
	k := workloadKey{in.Namespace, in.Name}
	w.mu.Lock()
	e := w.of[k]
	if e == nil || e.in != in {
		fresh := &workload{in: in}
		if e != nil {
			fresh.own.earlier = e.own.peek()
		}
		e = fresh
		w.of[k] = e
	}
	w.mu.Unlock()
	return e.own.get(func(earlier inbound) inbound { return take(s, in, earlier) })
}

func take(s *model.Settings, w *model.Workload, earlier inbound) inbound {
	listener, err := sidecar.Inbound(s, w)
	if err != nil {
		return earlier
	}
	clusters, err := sidecar.InboundClusters(s, w)
	if err != nil {
		return earlier
	}
	return inbound{
		clusters:  same(earlier.clusters, clusters),
		listeners: same(earlier.listeners, []*envoy.Resource{listener}),
	}
}

// same keeps the earlier layer, and the resources in it, when nothing changed.
func same(earlier *envoy.Layer, resources []*envoy.Resource) *envoy.Layer {
	changed := len(resources) != len(earlier.Resources())
	for i, r := range resources {
		resources[i] = keep(earlier.Get(r.Name), r)
		changed = changed || resources[i] == r
	}
	if !changed {
		return earlier
	}
	l, _ := envoy.NewLayer(resources)
	return l
}
