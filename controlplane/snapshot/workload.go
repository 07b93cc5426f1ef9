// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/scope"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// workloads holds what the sidecars that asked take themselves.
type workloads struct {
	mu sync.Mutex
	// mesh that they are of; nil for none yet.
	mesh   *model.Mesh
	guards guards
	of     map[workloadKey]*workload
	// chosen policies, one of each content.
	chosen policy.Shelf
	crews  crews
	// strangers that asked of this mesh; one that asks no more is forgotten.
	strangers map[workloadKey]bool
}

type workloadKey struct{ namespace, name string }

type workload struct {
	in *model.Workload
	// guarded is what policies were chosen for, and chosen those that hold.
	guarded policy.Guarded
	chosen  *policy.Chosen
	// scope that holds for it; nil for none.
	scope *model.Scope
	// limits that policies set for the services of its ports; nil for none at all.
	limits []*model.ConnectionPool
	// face is what its crew has in common; nil for one that is in none.
	face *model.Workload
	own  *lazy[inbound]
}

// inbound is what a sidecar takes.
type inbound struct {
	clusters, listeners, secrets *envoy.Layer
	// rules that the listeners' filters discover.
	rules *envoy.Layer
}

// next keeps what still holds for a mesh.
func (w *workloads) next(mesh *model.Mesh, scopes *scope.Index, by guards) *workloads {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := &workloads{mesh: mesh, guards: by, of: make(map[workloadKey]*workload, len(w.of)), crews: crews{}}
	change := policy.Changed(w.mesh, mesh)
	var moved []workloadKey
	for k, old := range w.of {
		now := mesh.Workload(k.namespace, k.name)
		guarded := old.guarded
		switch {
		case now != nil:
			guarded = guardedBy(now)
		case old.in == sidecar.Stranger && w.strangers[k]:
			now = old.in
		default:
			continue
		}
		guarded = by.guarded(guarded)
		chosen := old.chosen
		if now != old.in || guarded.Inline != old.guarded.Inline || change.Concerns(guarded) {
			chosen = policy.Choose(mesh, guarded, old.chosen)
		}
		chosen = out.chosen.Put(chosen)
		holds, limits := scopeOf(scopes, now), limitsOf(mesh, scopes, now)
		if now == old.in && chosen == old.chosen && holds == old.scope && slices.Equal(limits, old.limits) {
			out.of[k] = old
			out.crews.stay(old)
			continue
		}
		out.of[k] = &workload{in: now, guarded: guarded, chosen: chosen, scope: holds, limits: limits}
		moved = append(moved, k)
	}
	// Those that were in a crew before come first, so that who joins shares with them.
	slices.SortFunc(moved, func(a, b workloadKey) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.name, b.name))
	})
	for _, k := range moved {
		out.crews.join(out.of[k], w.of[k].own.peek())
	}
	return out
}

// scopeOf a workload. A stranger has none: it takes what proves itself, and no more.
func scopeOf(scopes *scope.Index, w *model.Workload) *model.Scope {
	if w == sidecar.Stranger {
		return nil
	}
	c := scope.Caller{Namespace: w.Namespace}
	if scopes.AsksLabels() {
		c.Labels = model.LabelsOf(w.Labels)
	}
	return scopes.ScopeOf(c)
}

// limitsOf a workload: those of the policies on the services of its ports, as
// callers of its own namespace have them. Policies that select callers say
// nothing here, as in Istio.
func limitsOf(mesh *model.Mesh, scopes *scope.Index, w *model.Workload) []*model.ConnectionPool {
	if len(mesh.Policies) == 0 || w == sidecar.Stranger {
		return nil
	}
	var out []*model.ConnectionPool
	caller := scope.Caller{Namespace: w.Namespace}
	for i, p := range w.Inbound {
		st, ok := scopes.Service(caller, p.Service)
		if !ok {
			continue
		}
		policy := scopes.Policy(caller, st.Service)
		if policy == nil || policy.Policy.On(p.ServicePort).Connections == nil {
			continue
		}
		if out == nil {
			out = make([]*model.ConnectionPool, len(w.Inbound))
		}
		out[i] = policy.Policy.On(p.ServicePort).Connections
	}
	return out
}

func guardedBy(w *model.Workload) policy.Guarded {
	return policy.Guarded{Namespace: w.Namespace, Labels: w.Labels}
}

// inbound of a proxy's workload; while that is not known, of a stranger under
// the policies that hold for what the proxy says of itself.
func (w *workloads) inbound(mesh *model.Mesh, scopes *scope.Index, p *model.Proxy) inbound {
	in, guarded := p.Workload, policy.Guarded{Namespace: p.Namespace, Labels: p.Labels}
	k := workloadKey{p.Namespace, p.Name}
	if in == nil {
		in = sidecar.Stranger
	} else {
		guarded, k = guardedBy(in), workloadKey{in.Namespace, in.Name}
	}
	w.mu.Lock()
	if in == sidecar.Stranger {
		if w.strangers == nil {
			w.strangers = map[workloadKey]bool{}
		}
		w.strangers[k] = true
	}
	e := w.of[k]
	if e == nil || e.in != in || in == sidecar.Stranger && !maps.Equal(e.guarded.Labels, guarded.Labels) {
		guarded = w.guards.guarded(guarded)
		chosen := w.chosen.Put(policy.Choose(mesh, guarded, nil))
		fresh := &workload{in: in, guarded: guarded, chosen: chosen, scope: scopeOf(scopes, in), limits: limitsOf(mesh, scopes, in)}
		var earlier inbound
		if e != nil {
			earlier = e.own.peek()
		}
		w.crews.join(fresh, earlier)
		e = fresh
		w.of[k] = e
	}
	w.mu.Unlock()
	return e.own.get(func(earlier inbound) inbound {
		return take(sidecar.Intake{Settings: mesh.Settings, Workload: e.seen(), Scope: e.scope, Limits: e.limits}, e.chosen, earlier)
	})
}

func take(in sidecar.Intake, policies *policy.Chosen, earlier inbound) inbound {
	listeners, err := in.Listeners(policies)
	if err != nil {
		return earlier
	}
	clusters, err := in.Clusters()
	if err != nil {
		return earlier
	}
	secrets, err := in.Secrets()
	if err != nil {
		return earlier
	}
	return inbound{
		clusters:  same(earlier.clusters, clusters),
		listeners: same(earlier.listeners, listeners),
		secrets:   same(earlier.secrets, secrets),
		rules:     policy.Discovered(in.Settings, policies).Configs,
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
