// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"slices"
	"strings"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// policies by the namespace that they are in.
type policies struct {
	in map[string]*namespacePolicies

	mu sync.Mutex
	// merged remembers what two policies make together.
	merged map[[2]*model.DestinationPolicy]*model.DestinationPolicy
}

// namespacePolicies of one namespace, the oldest of a host first.
type namespacePolicies struct {
	exact map[string][]*model.DestinationPolicy
	// wildcards, the longest suffix first.
	wildcards []wildcardPolicies
}

type wildcardPolicies struct {
	host string
	of   []*model.DestinationPolicy
}

func indexPolicies(mesh *model.Mesh, prev *policies) *policies {
	out := &policies{in: map[string]*namespacePolicies{}, merged: map[[2]*model.DestinationPolicy]*model.DestinationPolicy{}}
	current := make(map[*model.DestinationPolicy]bool, len(mesh.Policies))
	for _, p := range mesh.Policies {
		current[p] = true
		n := out.in[p.Namespace]
		if n == nil {
			n = &namespacePolicies{exact: map[string][]*model.DestinationPolicy{}}
			out.in[p.Namespace] = n
		}
		if !strings.HasPrefix(p.Host, "*") {
			n.exact[p.Host] = append(n.exact[p.Host], p)
			continue
		}
		i := slices.IndexFunc(n.wildcards, func(w wildcardPolicies) bool { return w.host == p.Host })
		if i < 0 {
			i = len(n.wildcards)
			n.wildcards = append(n.wildcards, wildcardPolicies{host: p.Host})
		}
		n.wildcards[i].of = append(n.wildcards[i].of, p)
	}
	for _, n := range out.in {
		slices.SortStableFunc(n.wildcards, func(a, b wildcardPolicies) int { return len(b.host) - len(a.host) })
	}
	out.carry(prev, current)
	return out
}

// carry what is remembered of policies that are still there.
func (p *policies) carry(prev *policies, current map[*model.DestinationPolicy]bool) {
	if prev == nil {
		return
	}
	prev.mu.Lock()
	defer prev.mu.Unlock()
	for grown := true; grown; {
		grown = false
		for k, m := range prev.merged {
			if current[k[0]] && current[k[1]] && p.merged[k] == nil {
				p.merged[k], current[m], grown = m, true, true
			}
		}
	}
}

// Policy says how a caller calls a service: what its own namespace says, else
// the service's, else the root namespace; in each the most specific host. Rules
// of one namespace on one host are merged (see merge); those that select the
// caller go before those that don't select. Nil when there is none. The same
// rules give the same pointer.
//
// Source: istio.io/latest/docs/ops/best-practices/traffic-management, "Cross-namespace configuration sharing".
func (x *Index) Policy(c Caller, svc *model.Service) *model.DestinationPolicy {
	if len(x.policies.in) == 0 {
		return nil
	}
	if p := x.policies.find(c.Namespace, c, svc); p != nil {
		return p
	}
	if svc.Namespace != c.Namespace {
		if p := x.policies.find(svc.Namespace, c, svc); p != nil {
			return p
		}
	}
	if root := x.mesh.Settings.RootNamespace; root != svc.Namespace && root != c.Namespace {
		return x.policies.find(root, c, svc)
	}
	return nil
}

// find what a namespace says about a service, to a caller.
func (p *policies) find(namespace string, c Caller, svc *model.Service) *model.DestinationPolicy {
	n := p.in[namespace]
	if n == nil {
		return nil
	}
	if m := p.merge(forCaller(n.exact[string(svc.Hostname)], namespace, c)); m != nil {
		return m
	}
	for _, a := range svc.Aliases {
		if m := p.merge(forCaller(n.exact[string(a)], namespace, c)); m != nil {
			return m
		}
	}
	for _, w := range n.wildcards {
		if !Covers(w.host, string(svc.Hostname)) {
			continue
		}
		if m := p.merge(forCaller(w.of, namespace, c)); m != nil {
			return m
		}
	}
	return nil
}

// forCaller are the policies of one host that hold for a caller: those that
// select it, else those that select nobody.
func forCaller(of []*model.DestinationPolicy, namespace string, c Caller) []*model.DestinationPolicy {
	var selected, general []*model.DestinationPolicy
	for _, p := range of {
		switch {
		case !p.Visible.In(c.Namespace):
		case p.Selector == "":
			general = append(general, p)
		case namespace == c.Namespace && c.Labels.Contain(p.Selector):
			selected = append(selected, p)
		}
	}
	if len(selected) > 0 {
		return selected
	}
	return general
}

// merge policies on one host, the oldest first.
func (p *policies) merge(of []*model.DestinationPolicy) *model.DestinationPolicy {
	if len(of) == 0 {
		return nil
	}
	out := of[0]
	if len(of) == 1 {
		return out
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, next := range of[1:] {
		k := [2]*model.DestinationPolicy{out, next}
		m := p.merged[k]
		if m == nil {
			m = merge(out, next)
			p.merged[k] = m
		}
		out = m
	}
	return out
}
