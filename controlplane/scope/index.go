// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"slices"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Caller is a proxy as far as it matters to what it sees. The zero value is a
// sidecar in a namespace that no configuration names.
type Caller struct {
	Namespace string
	Labels    model.Labels
	// Gateway: a north-south proxy. Scopes don't hold for it.
	Gateway bool
	// ClientCertificate that a gateway shows to backends; the zero value is none.
	ClientCertificate model.CredentialRef
}

// Index answers what callers see of a mesh. It may be used by many goroutines.
type Index struct {
	mesh *model.Mesh

	services *services
	policies *policies
	routings *routings
	scopes   *scopes
	special  special

	mu    sync.Mutex
	views map[viewKey]*view
}

// scopes by namespace, the oldest first.
type scopes struct {
	in map[string][]*model.Scope
	// selecting: some hold for some workloads of a namespace only.
	selecting bool
}

// viewKey tells apart callers that see other services and routings.
type viewKey struct {
	namespace string
	scope     *model.Scope
}

// view is what the callers of one key see.
type view struct {
	once     sync.Once
	services []model.ServiceState
	// wildcards among services, the longest first.
	wildcards []model.ServiceState
	routings  *bound
}

// Build an index of a mesh. It shares with the one before it, which may be nil.
func Build(mesh *model.Mesh, prev *Index) *Index {
	x := &Index{mesh: mesh, views: map[viewKey]*view{}}
	if prev == nil || prev.mesh.Settings != mesh.Settings {
		prev = &Index{mesh: &model.Mesh{}}
	}
	sameServices := slices.EqualFunc(mesh.Services, prev.mesh.Services, func(a, b model.ServiceState) bool { return a.Service == b.Service })
	samePolicies := slices.Equal(mesh.Policies, prev.mesh.Policies)
	sameRoutings := slices.Equal(mesh.Routings, prev.mesh.Routings)
	sameScopes := slices.Equal(mesh.Scopes, prev.mesh.Scopes)

	if x.services = prev.services; x.services == nil || !sameServices {
		x.services = indexServices(mesh)
	}
	if x.policies = prev.policies; x.policies == nil || !samePolicies {
		x.policies = indexPolicies(mesh, prev.policies)
	}
	if x.routings = prev.routings; x.routings == nil || !sameRoutings {
		x.routings = indexRoutings(mesh)
	}
	if x.scopes = prev.scopes; x.scopes == nil || !sameScopes {
		x.scopes = &scopes{in: map[string][]*model.Scope{}}
		for _, s := range mesh.Scopes {
			x.scopes.in[s.Namespace] = append(x.scopes.in[s.Namespace], s)
			x.scopes.selecting = x.scopes.selecting || s.Selector != ""
		}
	}
	if x.special = prev.special; x.special.namespaces == nil || !sameServices || !samePolicies || !sameRoutings {
		x.special = findSpecial(mesh, x.services)
	}
	return x
}

// Basis is what everything but the endpoints of services comes from: indexes
// with one basis answer alike.
type Basis struct {
	settings *model.Settings
	services *services
	policies *policies
	routings *routings
	scopes   *scopes
}

// Basis of an index.
func (x *Index) Basis() Basis {
	return Basis{x.mesh.Settings, x.services, x.policies, x.routings, x.scopes}
}

// AsksLabels is true when a caller's labels make a difference.
func (x *Index) AsksLabels() bool { return x.scopes.selecting || len(x.special.labels) > 0 }

// AsksNode is true when the node of a caller makes a difference.
func (x *Index) AsksNode() bool { return x.special.labels[model.NodeLabel] }

// ScopeOf is the Scope that holds for a caller: one that selects it, else its
// namespace's, else the root namespace's; of several the oldest. Nil when none
// does, and for the zero Caller.
func (x *Index) ScopeOf(c Caller) *model.Scope {
	if c.Gateway || c.Namespace == "" {
		return nil
	}
	for _, s := range x.scopes.in[c.Namespace] {
		if s.Selector != "" && c.Labels.Contain(s.Selector) {
			return s
		}
	}
	for _, s := range x.scopes.in[c.Namespace] {
		if s.Selector == "" {
			return s
		}
	}
	for _, s := range x.scopes.in[x.mesh.Settings.RootNamespace] {
		if s.Selector == "" {
			return s
		}
	}
	return nil
}

// view of a caller.
func (x *Index) view(c Caller) *view {
	k := viewKey{namespace: x.special.of(c.Namespace), scope: x.ScopeOf(c)}
	if k.scope != nil {
		k.namespace = c.Namespace
	}
	return x.viewOf(k)
}

func (x *Index) viewOf(k viewKey) *view {
	x.mu.Lock()
	v := x.views[k]
	if v == nil {
		v = &view{}
		x.views[k] = v
	}
	x.mu.Unlock()
	v.once.Do(func() { x.see(v, k) })
	return v
}

// Problems that are seen only when objects are looked at together.
func (x *Index) Problems() []model.Problem {
	return slices.Concat(x.services.problems, x.routings.conflicts(), x.takeovers(), x.policyConflicts(), x.scopeConflicts())
}
