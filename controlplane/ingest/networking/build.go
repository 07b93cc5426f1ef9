// SPDX-License-Identifier: Apache-2.0

// Package networking turns Istio's networking objects into routings, policies,
// gateways, scopes and patches of the model. It is the part of ingest for that
// API, and pure: an object, or a part of one, that can't be used becomes a
// Problem that names the field.
package networking

import (
	"cmp"
	"slices"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	networkingalpha "istio.io/client-go/pkg/apis/networking/v1alpha3"
	networkingbeta "istio.io/client-go/pkg/apis/networking/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is all that Istio's networking part of a mesh is made of: objects
// sorted by namespace and name, one of a kind per both. Nothing in it is modified.
type Input struct {
	VirtualServices  []*networking.VirtualService
	DestinationRules []*networking.DestinationRule
	Gateways         []*networking.Gateway
	Sidecars         []*networking.Sidecar
	ProxyConfigs     []*networkingbeta.ProxyConfig
	EnvoyFilters     []*networkingalpha.EnvoyFilter
	Settings         *model.Settings
}

// Output of Build. It is immutable. Each part is sorted as model.Mesh wants it.
type Output struct {
	Routings []*model.Routing
	Policies []*model.DestinationPolicy
	Gateways []*model.Gateway
	Scopes   []*model.Scope
	Patches  []*model.Patch
	Proxies  []*model.ProxyConfig
	Problems []model.Problem

	settings        *model.Settings
	virtualServices memo[*networking.VirtualService, *virtualService]
	rules           memo[*networking.DestinationRule, *model.DestinationPolicy]
	gateways        memo[*networking.Gateway, *model.Gateway]
	sidecars        memo[*networking.Sidecar, *model.Scope]
	filters         memo[*networkingalpha.EnvoyFilter, []*model.Patch]
	proxies         memo[*networkingbeta.ProxyConfig, *model.ProxyConfig]
}

// Build makes Istio's networking part of a mesh. Prev is the last output, or
// nil; it decides which pointers are shared, never what the output says.
func Build(in Input, prev *Output) *Output {
	if prev == nil || prev.settings != in.Settings {
		// What was read under other settings may mean something else now.
		last := prev
		prev = &Output{}
		if last != nil {
			prev.Routings, prev.Policies, prev.Gateways = last.Routings, last.Policies, last.Gateways
			prev.Scopes, prev.Patches, prev.Proxies = last.Scopes, last.Patches, last.Proxies
		}
	}
	if in.Settings == nil {
		in.Settings = &model.Settings{}
	}
	out := &Output{settings: in.Settings}
	tell := func(problems []model.Problem) { out.Problems = append(out.Problems, problems...) }

	out.virtualServices = readAll(in.VirtualServices, prev.virtualServices, func(o *networking.VirtualService) (*virtualService, []model.Problem) {
		v := readVirtualService(o, in.Settings)
		return v, v.problems
	}, tell)
	out.Routings = keep.Share(prev.Routings, byAge(out.routings(in.VirtualServices)))

	out.rules = readAll(in.DestinationRules, prev.rules, func(o *networking.DestinationRule) (*model.DestinationPolicy, []model.Problem) {
		return readDestinationRule(o, in.Settings)
	}, tell)
	out.Policies = keep.Share(prev.Policies, byAge(values(in.DestinationRules, out.rules)))

	out.gateways = readAll(in.Gateways, prev.gateways, func(o *networking.Gateway) (*model.Gateway, []model.Problem) {
		return readGateway(o, in.Settings)
	}, tell)
	out.Gateways = keep.Share(prev.Gateways, byAge(values(in.Gateways, out.gateways)))

	out.sidecars = readAll(in.Sidecars, prev.sidecars, func(o *networking.Sidecar) (*model.Scope, []model.Problem) {
		return readSidecar(o, in.Settings)
	}, tell)
	out.Scopes = keep.Share(prev.Scopes, byAge(values(in.Sidecars, out.sidecars)))
	tell(twoDefaults(out.Scopes))

	out.filters = readAll(in.EnvoyFilters, prev.filters, func(o *networkingalpha.EnvoyFilter) ([]*model.Patch, []model.Problem) {
		return readEnvoyFilter(o, in.Settings)
	}, tell)
	out.Patches = keep.Share(prev.Patches, inOrder(in.EnvoyFilters, out.filters, in.Settings.RootNamespace))

	out.proxies = readAll(in.ProxyConfigs, prev.proxies, func(o *networkingbeta.ProxyConfig) (*model.ProxyConfig, []model.Problem) {
		return readProxyConfig(o, in.Settings)
	}, tell)
	out.Proxies = keep.Share(prev.Proxies, byAge(values(in.ProxyConfigs, out.proxies)))
	tell(twoConfigs(out.Proxies))
	return out
}

// memo is what was read of each object.
type memo[Object comparable, Value any] map[Object]read[Value]

type read[Value any] struct {
	value    Value
	problems []model.Problem
}

// readAll reads the objects that last doesn't have.
func readAll[Object comparable, Value any](objects []Object, last memo[Object, Value], one func(Object) (Value, []model.Problem), tell func([]model.Problem)) memo[Object, Value] {
	next := make(memo[Object, Value], len(objects))
	for _, o := range objects {
		got, ok := last[o]
		if !ok {
			got.value, got.problems = one(o)
		}
		next[o] = got
		tell(got.problems)
	}
	return next
}

// values in the order of the objects, without those that can't be used.
func values[Object, Value comparable](objects []Object, from memo[Object, Value]) []Value {
	var none Value
	out := make([]Value, 0, len(objects))
	for _, o := range objects {
		if v := from[o].value; v != none {
			out = append(out, v)
		}
	}
	return out
}

func byAge[T keep.Value](all []T) []T {
	slices.SortStableFunc(all, func(a, b T) int { return a.Object().Older(b.Object()) })
	return all
}

// inOrder are the patches in the order in which they are to be applied: of one
// priority those of the root namespace first.
func inOrder(objects []*networkingalpha.EnvoyFilter, from memo[*networkingalpha.EnvoyFilter, []*model.Patch], root string) []*model.Patch {
	var all []*model.Patch
	for _, o := range objects {
		all = append(all, from[o].value...)
	}
	slices.SortStableFunc(all, func(a, b *model.Patch) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(elsewhere(a, root), elsewhere(b, root)),
			a.Older(b.Origin), cmp.Compare(a.Index, b.Index))
	})
	return all
}

// elsewhere is 0 for a patch of the root namespace and 1 for any other.
func elsewhere(p *model.Patch, root string) int {
	if p.Namespace == root {
		return 0
	}
	return 1
}

// routings of all objects that have hosts, delegates put in.
func (out *Output) routings(objects []*networking.VirtualService) []*model.Routing {
	byName := make(map[delegateRef]*virtualService, len(objects))
	for _, o := range objects {
		byName[delegateRef{o.Namespace, o.Name}] = out.virtualServices[o].value
	}
	all := make([]*model.Routing, 0, len(objects))
	for _, o := range objects {
		v := out.virtualServices[o].value
		if v.routing == nil || v.isDelegate() {
			continue
		}
		if v.whole != nil {
			all = append(all, v.whole)
			continue
		}
		routing, problems := complete(v, func(ref delegateRef) *virtualService { return byName[ref] })
		out.Problems = append(out.Problems, problems...)
		all = append(all, routing)
	}
	return all
}

// twoDefaults tells of Sidecars without selector beside another one in their
// namespace: the oldest holds.
func twoDefaults(scopes []*model.Scope) []model.Problem {
	first := map[string]*model.Scope{}
	var problems []model.Problem
	for _, s := range scopes {
		if s.Selector != "" {
			continue
		}
		if older := first[s.Namespace]; older != nil {
			problems = append(problems, s.Problem("spec.workloadSelector", conflict,
				"Sidecar "+older.Namespace+"/"+older.Name+" is older and for all workloads of this namespace, so it holds; add a selector, or remove one of them"))
			continue
		}
		first[s.Namespace] = s
	}
	return problems
}
