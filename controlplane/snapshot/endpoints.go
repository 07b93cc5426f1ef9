// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// endpoints is what follows from who answers behind one port.
type endpoints struct {
	svc    *model.Service
	set    *model.EndpointSet
	policy *model.DestinationPolicy
	// routed matters to the listeners of pods only.
	routed routed
	// reach and pods are what the service must know of them.
	reach sidecar.Reach
	pods  []string
	// named are the names that some endpoints have instead of an address.
	named []named
	// anywhere is the same for all callers; nil when their locality matters.
	anywhere []*envoy.Resource
	// listeners by the address of a pod.
	listeners []*envoy.Resource
	problems  []model.Problem
	// apart: what the policy leaves out of other members.
	apart []model.Problem
}

// named is an endpoint that is looked up by the proxy.
type named struct {
	host string
	port uint16
}

func at(e *service, port int) *endpoints {
	if e == nil || port >= len(e.ports) {
		return nil
	}
	return e.ports[port]
}

// endpoints of a port as a class sees them. What depends on no policy is taken
// from what everybody sees.
func (s *Snapshot) endpoints(c *class, in serviceInputs, port int, set *model.EndpointSet, before, shared *endpoints) *endpoints {
	svc, policy := in.svc, in.policy
	var by routed
	if sidecar.HasPodListeners(svc, svc.Ports[port]) {
		by = in.routed
	}
	for _, e := range []*endpoints{shared, before} {
		if e != nil && e.svc == svc && e.set == set && e.policy == policy && e.routed.equal(by) {
			return e
		}
	}
	if before == nil {
		before = &endpoints{}
	}
	var e *endpoints
	if shared != nil && shared.svc == svc && shared.set == set && shared.routed.equal(by) {
		copied := *shared
		e, copied.policy, copied.anywhere = &copied, policy, nil
	} else {
		e = s.whoever(s.call(c, in), by, port, set, before)
	}
	call := sidecar.Call{Settings: s.mesh.Settings, Service: svc, Policy: policy}
	e.apart = call.LeftOut(port, set)
	if svc.Kind != model.ExternalName && svc.Resolution == model.Discovered && !call.LocalityMatters(port, set) {
		made, err := call.Endpoints(port, set, destination.Caller{Cluster: s.mesh.Settings.Cluster, Network: s.mesh.Settings.Network})
		if err != nil {
			e.problems = append(slices.Clip(e.problems), notTranslated(svc, err))
		}
		for _, r := range made {
			e.anywhere = append(e.anywhere, keepAmong(before.anywhere, r))
		}
	}
	return e
}

// whoever answers, without regard to a policy.
func (s *Snapshot) whoever(call sidecar.Call, by routed, port int, set *model.EndpointSet, before *endpoints) *endpoints {
	svc := call.Service
	e := &endpoints{svc: svc, set: set, policy: call.Policy, routed: by, reach: sidecar.ReachOf(svc, set)}
	if svc.Kind == model.Headless && svc.Ports[port].Protocol.IsHTTP() {
		e.pods = sidecar.Hostnames(set)
	}
	listeners, problems, err := call.PodListeners(port, set)
	e.problems = problems
	if err != nil {
		e.problems = append(e.problems, notTranslated(svc, err))
	}
	for _, l := range listeners {
		e.listeners = append(e.listeners, keepAmong(before.listeners, l))
	}
	for i := range set.Endpoints {
		if sidecar.Named(&set.Endpoints[i]) && svc.Resolution == model.Discovered {
			e.named = append(e.named, named{set.Endpoints[i].Address, set.Endpoints[i].Port})
		}
	}
	return e
}

// keepAmong earlier resources the one that says the same as a new one.
func keepAmong(earlier []*envoy.Resource, now *envoy.Resource) *envoy.Resource {
	for _, r := range earlier {
		if r.Name == now.Name {
			return keep(r, now)
		}
	}
	return now
}
