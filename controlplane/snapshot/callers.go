// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// unknownDestination is the reason of Problems that depend on who calls: the
// same rule leads callers of one namespace somewhere, and others nowhere.
const unknownDestination = "UnknownDestination"

// callers are the classes of the sidecars that there should be, whether they are
// connected or not.
type callers struct {
	workloads, gateways []*model.Workload
	basis               scope.Basis
	of                  map[scope.Class]scope.Caller
}

// callersOf the mesh's workloads; for the same ones they are the earlier ones.
func (s *Snapshot) callersOf(earlier callers) callers {
	out := callers{workloads: s.mesh.Workloads, gateways: s.gatewayPods, basis: s.scope.Basis()}
	if earlier.of != nil && earlier.basis == out.basis && slices.Equal(earlier.workloads, out.workloads) && slices.Equal(earlier.gateways, out.gateways) {
		return earlier
	}
	out.of = map[scope.Class]scope.Caller{}
	gateways := make(map[*model.Workload]bool, len(out.gateways))
	for _, w := range out.gateways {
		gateways[w] = true
	}
	for _, w := range s.mesh.Workloads {
		if w.Meshed && !gateways[w] {
			key, caller := s.classFor(&model.Proxy{Namespace: w.Namespace, Workload: w})
			out.of[key] = caller
		}
	}
	return out
}

// AllProblems are Problems, and those of classes whose proxies are connected to
// another replica, or not yet at all.
func (s *Snapshot) AllProblems() []model.Problem {
	for key, caller := range s.present.get(s.callersOf).of {
		s.classAt(key, caller)
	}
	return s.Problems()
}

// missed leaves out of everybody's Problems those destinations that nobody
// misses: where no caller is everybody, what callers of the rule's own namespace
// find counts, and what those find who are there.
func (s *Snapshot) missed(everybodys []model.Problem) []model.Problem {
	own := map[string]map[model.Problem]bool{}
	return slices.DeleteFunc(everybodys, func(p model.Problem) bool {
		if p.Reason != unknownDestination {
			return false
		}
		if _, ok := s.present.get(s.callersOf).of[scope.Class{}]; ok {
			return false
		}
		if own[p.Namespace] == nil {
			own[p.Namespace] = map[model.Problem]bool{}
			for _, q := range s.classAt(s.classFor(&model.Proxy{Namespace: p.Namespace})).problems() {
				own[p.Namespace][q] = true
			}
		}
		return !own[p.Namespace][p]
	})
}
