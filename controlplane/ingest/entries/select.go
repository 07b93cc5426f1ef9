// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Pod is what a selector needs of a pod of the cluster.
type Pod struct {
	// Workload's pointer is the same as long as the pod's facts are.
	Workload *model.Workload
	// Labels of the workload in canonical form.
	Labels model.Labels
	Ready  bool
	// Hosted pods are in their node's network: they answer, but are no workloads of the mesh.
	Hosted bool
}

// selection is who an entry's selector chooses. Its pointer is the same as long
// as these are.
type selection struct {
	machines []*Machine
	pods     []Pod
	// all are the machines, then the pods.
	all []*Machine
}

// choose returns the machines and pods of the entry's namespace that have the
// labels that it asks for.
func (e *entry) choose(in *Input, prev *selection) *selection {
	s := &selection{}
	for _, m := range in.Machines.In(e.Namespace) {
		if e.selector.Select(m.Labels) {
			s.machines = append(s.machines, m)
		}
	}
	for _, p := range in.Pods(e.Namespace) {
		if len(p.Workload.Addresses) > 0 && e.selector.Select(p.Workload.Labels) {
			s.pods = append(s.pods, p)
		}
	}
	if prev != nil && slices.Equal(prev.machines, s.machines) && slices.Equal(prev.pods, s.pods) {
		return prev
	}
	s.all = slices.Clone(s.machines)
	for _, p := range s.pods {
		s.all = append(s.all, machineOf(p, in.Settings))
	}
	return s
}

// machineOf sees a pod as a machine.
func machineOf(p Pod, s *model.Settings) *Machine {
	w := p.Workload
	m := &Machine{
		Origin: model.Origin{Kind: kindPod, Namespace: w.Namespace, Name: w.Name}, Labels: w.Labels,
		Meshed: w.Meshed, MTLS: w.MTLS, PortMTLS: w.PortMTLS, Ready: p.Ready,
	}
	if w.Meshed {
		m.Identity = w.Identity
	}
	m.Endpoint = model.Endpoint{
		Address: w.Addresses[0].String(), Weight: 1, Locality: w.Locality, Network: w.Network, Cluster: s.Cluster, Labels: p.Labels,
	}
	if !p.Hosted {
		m.Endpoint.Workload = w.Namespace + "/" + w.Name
	}
	return m
}
