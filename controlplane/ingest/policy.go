// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	securityapi "istio.io/api/security/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// policies are the PeerAuthentications, arranged for one question: which mode
// holds on a pod. The narrowest that says a mode wins (workload, namespace,
// mesh); of two at the same level the oldest.
type policies struct {
	mesh       model.MTLSMode
	namespaces map[string]*namespacePolicies
	problems   []model.Problem
}

type namespacePolicies struct {
	object *security.PeerAuthentication
	mode   model.MTLSMode
	// workloads are the policies with a selector, oldest first.
	workloads []*security.PeerAuthentication
}

// arrangePolicies sorts out which policies hold where; rows are sorted by key.
func arrangePolicies(rows []*security.PeerAuthentication, rootNamespace string) *policies {
	p := &policies{namespaces: map[string]*namespacePolicies{}}
	byAge := slices.Clone(rows)
	slices.SortFunc(byAge, compareAge)
	for _, o := range byAge {
		n := p.namespaces[o.Namespace]
		if n == nil {
			n = &namespacePolicies{}
			p.namespaces[o.Namespace] = n
		}
		p.problems = append(p.problems, malformed(o)...)
		p.problems = append(p.problems, strayDryRun(kindPeerAuthentication, o)...)
		switch {
		case len(selectorOf(o)) > 0:
			if i := slices.IndexFunc(n.workloads, func(older *security.PeerAuthentication) bool { return maps.Equal(selectorOf(older), selectorOf(o)) }); i >= 0 {
				// Whether there are such pods or not.
				p.problems = append(p.problems, shadowed(o, n.workloads[i], "selects the same workloads"))
				continue
			}
			n.workloads = append(n.workloads, o)
		case n.object != nil:
			p.problems = append(p.problems, shadowed(o, n.object, "applies to the whole namespace"))
		default:
			n.object = o
		}
	}
	if root := p.namespaces[rootNamespace]; root != nil && root.object != nil {
		p.mesh, _ = modeOf(root.object.Spec.GetMtls())
	}
	for _, n := range p.namespaces {
		n.mode = p.mesh
		if n.object != nil {
			if mode, set := modeOf(n.object.Spec.GetMtls()); set {
				n.mode = mode
			}
		}
	}
	return p
}

// of returns the modes that hold on a pod, and a Problem for each policy that
// selects it in vain.
func (p *policies) of(namespace string, labels map[string]string) (model.MTLSMode, []model.PortMTLS, []model.Problem) {
	n := p.namespaces[namespace]
	if n == nil {
		return p.mesh, nil, nil
	}
	var winner *security.PeerAuthentication
	var losers []model.Problem
	for _, o := range n.workloads {
		switch {
		case !selects(selectorOf(o), labels):
		case winner == nil:
			winner = o
		default:
			losers = append(losers, shadowed(o, winner, "selects a pod that this one selects too"))
		}
	}
	if winner == nil {
		return n.mode, nil, nil
	}
	mode, set := modeOf(winner.Spec.GetMtls())
	if !set {
		mode = n.mode
	}
	return mode, portModes(winner, mode), losers
}

// portModes are the modes of single ports; one that is unset is the workload's.
func portModes(o *security.PeerAuthentication, workload model.MTLSMode) []model.PortMTLS {
	var ports []model.PortMTLS
	for port, mtls := range o.Spec.GetPortLevelMtls() {
		if port < 1 || port > 65535 {
			continue
		}
		mode, set := modeOf(mtls)
		if !set {
			mode = workload
		}
		ports = append(ports, model.PortMTLS{Port: uint16(port), Mode: mode})
	}
	slices.SortFunc(ports, func(a, b model.PortMTLS) int { return cmp.Compare(a.Port, b.Port) })
	return ports
}

func selectorOf(o *security.PeerAuthentication) map[string]string {
	return o.Spec.GetSelector().GetMatchLabels()
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// modeOf returns false for UNSET: then what is wider decides.
func modeOf(m *securityapi.PeerAuthentication_MutualTLS) (model.MTLSMode, bool) {
	switch m.GetMode() {
	case securityapi.PeerAuthentication_MutualTLS_PERMISSIVE:
		return model.Permissive, true
	case securityapi.PeerAuthentication_MutualTLS_STRICT:
		return model.Strict, true
	case securityapi.PeerAuthentication_MutualTLS_DISABLE:
		return model.Disable, true
	default:
		return model.Permissive, false
	}
}

// malformed names the parts of a policy that have no effect.
func malformed(o *security.PeerAuthentication) []model.Problem {
	var problems []model.Problem
	if len(selectorOf(o)) == 0 && len(o.Spec.GetPortLevelMtls()) > 0 {
		problems = append(problems, problem(kindPeerAuthentication, o, "spec.portLevelMtls", Invalid,
			"portLevelMtls needs a selector and is not applied; add spec.selector.matchLabels"))
	}
	unknown := func(field string, m *securityapi.PeerAuthentication_MutualTLS) {
		if _, ok := securityapi.PeerAuthentication_MutualTLS_Mode_name[int32(m.GetMode())]; !ok {
			problems = append(problems, problem(kindPeerAuthentication, o, field, Invalid,
				"mode %d is unknown and taken as UNSET; use PERMISSIVE, STRICT or DISABLE", m.GetMode()))
		}
	}
	unknown("spec.mtls.mode", o.Spec.GetMtls())
	for _, port := range slices.Sorted(maps.Keys(o.Spec.GetPortLevelMtls())) {
		field := fmt.Sprintf("spec.portLevelMtls[%d]", port)
		if port < 1 || port > 65535 {
			problems = append(problems, problem(kindPeerAuthentication, o, field, Invalid,
				"%d is no port; use the workload's port, 1 to 65535", port))
		}
		unknown(field+".mode", o.Spec.GetPortLevelMtls()[port])
	}
	return problems
}

func shadowed(loser, winner *security.PeerAuthentication, why string) model.Problem {
	return problem(kindPeerAuthentication, loser, "spec.selector", Conflict,
		"PeerAuthentication %s/%s is older and %s, so it wins; remove one of them or narrow its selector", winner.Namespace, winner.Name, why)
}
