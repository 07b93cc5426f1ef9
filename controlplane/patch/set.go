// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"cmp"
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Where a resource serves.
type Where string

// The places, as EnvoyFilter's contexts spell them.
const (
	Inbound  Where = "SIDECAR_INBOUND"
	Outbound Where = "SIDECAR_OUTBOUND"
	Gateway  Where = "GATEWAY"
)

func (p *Patch) in(where Where) bool {
	return p.Context == "" || p.Context == "ANY" || p.Context == string(where)
}

// Proxy is what patches select proxies by.
type Proxy struct {
	Namespace string
	Labels    map[string]string
	// Router: a gateway, not a sidecar.
	Router bool
	// Gateway and Class of the Gateway API that it serves; empty for none.
	Gateway, Class string
	// Version of its agent.
	Version string
	// Metadata of its node, as far as it is text.
	Metadata map[string]string
}

// Chosen patches of a mesh for a proxy, in the order in which they are applied:
// by priority, then the root namespace's, then the oldest.
func Chosen(mesh *model.Mesh, who Proxy) []*model.Patch {
	root := mesh.Settings.RootNamespace
	var out []*model.Patch
	for _, p := range mesh.Patches {
		if (p.Namespace == root || p.Namespace == who.Namespace) && holds(p, root, who) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b *model.Patch) int {
		if c := cmp.Compare(a.Priority, b.Priority); c != 0 || a.Namespace == b.Namespace {
			return c
		}
		if a.Namespace == root {
			return -1
		}
		return 1
	})
	return out
}

func holds(p *model.Patch, root string, who Proxy) bool {
	if m := proxyOf(p); m != nil && !m.is(who) {
		return false
	}
	if len(p.Target.Refs) == 0 {
		return p.Target.Selector.Select(who.Labels)
	}
	return slices.ContainsFunc(p.Target.Refs, func(r model.TargetRef) bool {
		switch r.Kind {
		case "Gateway":
			return who.Router && r.Name == who.Gateway && p.Namespace == who.Namespace
		case "GatewayClass":
			return who.Router && r.Name == who.Class && p.Namespace == root
		}
		return false
	})
}

// Set of patches that are read.
type Set struct {
	gateway bool
	patches []*Patch
}

// NewSet reads patches for sidecars, or for gateways.
func NewSet(patches []*model.Patch, gateway bool) (*Set, []model.Problem) {
	out := &Set{gateway: gateway}
	var problems []model.Problem
	for _, p := range patches {
		read, problem := Read(p)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		out.patches = append(out.patches, read)
	}
	problems = append(problems, out.inline()...)
	problems = append(problems, out.kept()...)
	return out, problems
}

// Resource of a type with the patches applied: itself when none is about it,
// nil when one removes it.
func (s *Set) Resource(typeURL string, r *envoy.Resource) (*envoy.Resource, []model.Problem) {
	var about []*Patch
	for _, p := range s.patches {
		switch {
		case typeURL == envoy.ClusterType && p.ofCluster(whereIsCluster(s.gateway, r.Name), r.Name),
			typeURL == envoy.RouteType && p.ofRoutes(s.outbound(), r.Name),
			typeURL == envoy.ListenerType && (p.isListener() || p.isRoutes()):
			about = append(about, p)
		}
	}
	if len(about) == 0 {
		return r, nil
	}
	m, err := r.Message()
	if err != nil {
		return r, nil
	}
	var problems []model.Problem
	changed := false
	for _, p := range about {
		next, err := s.apply(p, m)
		switch {
		case err != nil:
			problems = append(problems, p.problem(fmt.Sprintf("what it makes of %s is against the rules of Envoy's API, so it is left out there: %v; mend the value", r.Name, err)))
		case next == nil:
			return nil, problems
		default:
			changed = changed || !proto.Equal(m, next)
			m = next
		}
	}
	if !changed {
		return r, problems
	}
	out, err := envoy.NewResource(r.Name, m)
	if err != nil {
		return r, problems
	}
	return out, problems
}

func (s *Set) outbound() Where {
	if s.gateway {
		return Gateway
	}
	return Outbound
}

// apply one patch to a copy of a message; nil when it is removed.
func (s *Set) apply(p *Patch, m proto.Message) (proto.Message, error) {
	switch m := proto.Clone(m).(type) {
	case *clusterv3.Cluster:
		if c := p.cluster(m); c != nil {
			return c, c.Validate()
		}
		return nil, nil //nolint:nilnil // it is removed
	case *listenerv3.Listener:
		where := whereIsListener(s.gateway, m)
		if !p.ofListener(where, m) {
			return m, nil
		}
		l, err := p.listener(where, m)
		if l == nil || err != nil {
			return nil, err
		}
		return l, l.Validate()
	case *routev3.RouteConfiguration:
		p.routes(m)
		return m, m.Validate()
	}
	return m, nil
}

// Added are the resources that patches add.
func (s *Set) Added(typeURL string) (out []*envoy.Resource, problems []model.Problem) {
	kind := map[string]string{envoy.ClusterType: "CLUSTER", envoy.ListenerType: "LISTENER"}[typeURL]
	for _, p := range s.patches {
		if p.ApplyTo != kind || p.Operation != "ADD" || !p.in(s.outbound()) && (s.gateway || !p.in(Inbound)) {
			continue
		}
		name := ""
		var err error
		switch v := p.value.(type) {
		case *clusterv3.Cluster:
			name, err = v.GetName(), v.Validate()
		case *listenerv3.Listener:
			name, err = v.GetName(), v.Validate()
		}
		if err != nil || name == "" {
			problems = append(problems, p.problem(fmt.Sprintf("what it adds has no name, or is against the rules of Envoy's API: %v; mend the value", err)))
			continue
		}
		r, err := envoy.NewResource(name, p.value)
		if err != nil {
			continue
		}
		out = append(out, r)
	}
	return out, problems
}

func (p *Patch) problem(message string) model.Problem {
	return p.Problem(fmt.Sprintf("spec.configPatches[%d].patch.value", p.Index), "Invalid", message)
}
