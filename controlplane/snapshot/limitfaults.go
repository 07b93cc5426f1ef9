// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/ratelimit"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// Reasons of the Problems of rate limits that lean on what isn't so.
const (
	// targetNotFound: no object has the name that a target has.
	targetNotFound = "TargetNotFound"
	// portNotFound and wrongProtocol: the counting service can't be asked on the port.
	portNotFound  = "PortNotFound"
	wrongProtocol = "WrongProtocol"
	// notVisible: there are proxies that don't see the counting service.
	notVisible = "NotVisible"
)

// limitFaults are what rate limits name and isn't there, or can't be asked, whoever
// is connected. Without a Problem nobody would see it: requests just pass.
type limitFaults struct {
	limits    []*model.RateLimit
	workloads []*model.Workload
	gateways  []*model.Gateway
	basis     scope.Basis
	problems  []model.Problem
}

// findLimitFaults in the mesh; for the same objects they are the earlier ones.
func (s *Snapshot) findLimitFaults(earlier limitFaults) limitFaults {
	m := s.mesh
	out := limitFaults{limits: m.RateLimits, workloads: m.Workloads, gateways: m.Gateways, basis: s.scope.Basis()}
	if earlier.basis == out.basis && slices.Equal(earlier.limits, out.limits) && slices.Equal(earlier.workloads, out.workloads) && slices.Equal(earlier.gateways, out.gateways) {
		return earlier
	}
	if len(m.RateLimits) == 0 {
		return out
	}
	named := map[model.Hostname][]*model.Service{}
	for _, st := range m.Services {
		named[st.Service.Hostname] = append(named[st.Service.Hostname], st.Service)
	}
	for _, l := range m.RateLimits {
		out.problems = append(out.problems, s.targetFaults(l, named)...)
		if l.Service != nil && len(named[l.Service.Host]) > 0 { // else ingest has told
			out.problems = append(out.problems, portFaults(l, named[l.Service.Host])...)
			out.problems = append(out.problems, s.sightFaults(l, named[l.Service.Host])...)
		}
	}
	return out
}

// targetFaults are targets that are not there.
func (s *Snapshot) targetFaults(l *model.RateLimit, named map[model.Hostname][]*model.Service) []model.Problem {
	var out []model.Problem
	for i, ref := range l.Target.Refs {
		there := false
		if ref.Kind == "Service" {
			host := ratelimit.HostOf(s.mesh.Settings, l, ref)
			there = slices.ContainsFunc(named[host], func(svc *model.Service) bool { return svc.Namespace == l.Namespace })
		} else {
			there = slices.ContainsFunc(s.mesh.Gateways, func(g *model.Gateway) bool { return g.API && g.Namespace == l.Namespace && g.Name == ref.Name }) ||
				slices.ContainsFunc(s.mesh.Workloads, func(w *model.Workload) bool {
					return w.Namespace == l.Namespace && w.Labels[labelGatewayName] == ref.Name
				})
		}
		if !there {
			out = append(out, l.Problem(fmt.Sprintf("spec.targetRefs[%d].name", i), targetNotFound, fmt.Sprintf(
				"namespace %q has no %s %q that is of the mesh, so nothing is limited by this target; correct the name, or create it", l.Namespace, ref.Kind, ref.Name)))
		}
	}
	return out
}

// unanswered is what becomes of requests when the service can't be asked.
func unanswered(l *model.RateLimit) string {
	if l.Service.Deny {
		return "requests that rules match are refused"
	}
	return "requests pass uncounted"
}

// portFaults of a service that counts. Of several with its name it is the one that the
// policy's own namespace sees.
func portFaults(l *model.RateLimit, named []*model.Service) []model.Problem {
	svc := named[max(slices.IndexFunc(named, func(svc *model.Service) bool { return svc.Visible.In(l.Namespace) }), 0)]
	i := slices.IndexFunc(svc.Ports, func(p model.Port) bool { return p.Number == l.Service.Port })
	if i < 0 {
		have := []string{}
		for _, p := range svc.Ports {
			have = append(have, fmt.Sprint(p.Number))
		}
		return []model.Problem{l.Problem("spec.service.port", portNotFound, fmt.Sprintf(
			"service %q has no port %d, so %s (failureMode); correct it, it has %s", l.Service.Host, l.Service.Port, unanswered(l), cmp.Or(strings.Join(have, ", "), "none")))}
	}
	if !svc.Ports[i].Protocol.IsHTTP2() {
		return []model.Problem{l.Problem("spec.service.port", wrongProtocol, fmt.Sprintf(
			"port %d of service %q isn't declared to speak gRPC, which counting services do, so %s (failureMode); name the port grpc there, or set its appProtocol to grpc",
			l.Service.Port, l.Service.Host, unanswered(l)))}
	}
	return nil
}

// sightFaults are proxies that don't see the service: it isn't exported to their namespace, or
// a Sidecar hides it.
func (s *Snapshot) sightFaults(l *model.RateLimit, named []*model.Service) []model.Problem {
	var unexported, hidden blind
	for _, w := range ratelimit.At(s.mesh, l) {
		caller := scope.Caller{Namespace: w.Namespace, Labels: model.LabelsOf(w.Labels), Gateway: w.Labels[labelGatewayName] != "" || slices.Contains(s.gatewayPods, w)}
		if st, ok := s.scope.Service(caller, l.Service.Host); ok && st.Service.Hostname == l.Service.Host {
			continue
		}
		if !slices.ContainsFunc(named, func(svc *model.Service) bool { return svc.Visible.In(w.Namespace) }) {
			unexported.add(fmt.Sprintf("%q", w.Namespace), w)
		} else if by := s.scope.ScopeOf(caller); by != nil {
			hidden.add(by.Namespace+"/"+by.Name, w)
		}
	}
	var out []model.Problem
	if len(unexported.by) > 0 {
		out = append(out, l.Problem("spec.service.host", notVisible, fmt.Sprintf("service %q is not exported to namespace %s, so %s at %s (failureMode); add the namespace to its exportTo",
			l.Service.Host, unexported.first(), unanswered(l), unexported.pod)))
	}
	if len(hidden.by) > 0 {
		out = append(out, l.Problem("spec.service.host", notVisible, fmt.Sprintf("Sidecar %s hides service %q, so %s at %s (failureMode); add %q to its egress hosts",
			hidden.first(), l.Service.Host, unanswered(l), hidden.pod, named[0].Namespace+"/"+string(l.Service.Host))))
	}
	return out
}

// blind proxies, by what keeps the service from them.
type blind struct {
	by  []string
	pod string // the first of them
}

func (b *blind) add(by string, w *model.Workload) {
	if len(b.by) == 0 {
		b.pod = w.Namespace + "/" + w.Name
	}
	if !slices.Contains(b.by, by) {
		b.by = append(b.by, by)
	}
}

// first of what keeps it from them, and how many others there are.
func (b *blind) first() string {
	if n := len(b.by) - 1; n > 0 {
		return fmt.Sprintf("%s (and %d more)", b.by[0], n)
	}
	return b.by[0]
}
