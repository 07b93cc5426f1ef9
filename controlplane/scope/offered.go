// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// MostOffered subsets of one service: each takes a filter chain of the east-west
// gateway, and a count in what is exported, for every port.
const MostOffered = 64

// Subset of an exported service that other members may ask for.
type Subset struct {
	Name   string
	Labels model.Labels
}

// Offered are the subsets of exported services that other members may ask for,
// sorted by name: what this member's own policies define. Callers of other
// members are in no namespace of this one, so policies of all namespaces count;
// of two subsets with one name that of the service's namespace holds, then of
// the root namespace, in each of the most specific host, then of the oldest. A
// subset without labels, or by members alone, is asked for as the whole.
//
// A member defines a subset for others as soon as it defines it for itself:
// with Istio, too, a rule is applied in every cluster.
func Offered(mesh *model.Mesh) (map[*model.Service][]Subset, []model.Problem) {
	var problems []model.Problem
	var out map[*model.Service][]Subset
	for svc, of := range defining(mesh) {
		slices.SortStableFunc(of, func(a, b *model.DestinationPolicy) int {
			return cmp.Or(cmp.Compare(remoteness(mesh, svc, a), remoteness(mesh, svc, b)), cmp.Compare(breadth(svc, a), breadth(svc, b)))
		})
		subsets, cut := offered(mesh, of)
		if len(subsets) > 0 {
			if out == nil {
				out = map[*model.Service][]Subset{}
			}
			out[svc] = subsets
		}
		for _, p := range cut {
			problems = append(problems, p.Problem("spec.subsets", "TooManySubsets", fmt.Sprintf(
				"%s has more than the %d subsets that are offered to other members, so they can't ask for some of this rule's: remove subsets that nobody uses",
				svc.Hostname, MostOffered)))
		}
	}
	slices.SortFunc(problems, func(a, b model.Problem) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), strings.Compare(a.Message, b.Message))
	})
	return out, problems
}

// defining are the policies that define subsets of each exported service, the
// oldest first.
func defining(mesh *model.Mesh) map[*model.Service][]*model.DestinationPolicy {
	with := slices.DeleteFunc(slices.Clone(mesh.Policies), func(p *model.DestinationPolicy) bool { return len(p.Subsets) == 0 })
	if len(with) == 0 {
		return nil
	}
	byHost := map[model.Hostname]*model.Service{}
	var exported []*model.Service
	for _, st := range mesh.Services {
		if svc := st.Service; svc.Exported && svc.Local {
			exported = append(exported, svc)
			for _, h := range append([]model.Hostname{svc.Hostname}, svc.Aliases...) {
				byHost[h] = svc
			}
		}
	}
	out := map[*model.Service][]*model.DestinationPolicy{}
	for _, p := range with {
		if !strings.HasPrefix(p.Host, "*") {
			if svc := byHost[model.Hostname(p.Host)]; svc != nil {
				out[svc] = append(out[svc], p)
			}
			continue
		}
		for _, svc := range exported {
			if Covers(p.Host, string(svc.Hostname)) {
				out[svc] = append(out[svc], p)
			}
		}
	}
	return out
}

// remoteness of a policy's namespace from a service.
func remoteness(mesh *model.Mesh, svc *model.Service, p *model.DestinationPolicy) int {
	switch p.Namespace {
	case svc.Namespace:
		return 0
	case mesh.Settings.RootNamespace:
		return 1
	default:
		return 2
	}
}

// breadth of a policy's host: the service's own name, another name of it, the
// longest wildcard.
func breadth(svc *model.Service, p *model.DestinationPolicy) int {
	switch {
	case p.Host == string(svc.Hostname):
		return 0
	case !strings.HasPrefix(p.Host, "*"):
		return 1
	default:
		return 1000 - len(p.Host)
	}
}

// offered subsets of policies in the order in which they hold, and the policies
// some of whose subsets are too many.
func offered(mesh *model.Mesh, of []*model.DestinationPolicy) (out []Subset, cut []*model.DestinationPolicy) {
	taken := map[string]bool{}
	for _, p := range of {
		for _, s := range p.Subsets {
			// Server names know no case.
			name := strings.ToLower(s.Name)
			if taken[name] || s.Labels.ByMember() || !s.Labels.May(mesh.Settings.Cluster, mesh.Settings.Network) {
				continue
			}
			if len(out) == MostOffered {
				cut = append(cut, p)
				break
			}
			taken[name] = true
			out = append(out, Subset{Name: s.Name, Labels: s.Labels})
		}
	}
	slices.SortFunc(out, func(a, b Subset) int { return strings.Compare(a.Name, b.Name) })
	return out, cut
}
