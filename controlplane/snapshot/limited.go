// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/ratelimit"
)

// limitsFor a proxy are the rate limits that hold for it.
func (s *Snapshot) limitsFor(p *model.Proxy) []*model.RateLimit {
	if len(s.mesh.RateLimits) == 0 || p.EastWest() {
		return nil
	}
	var inbound []model.InboundPort
	if p.Workload != nil {
		inbound = p.Workload.Inbound
	}
	return ratelimit.Choose(s.mesh, pluggedInto(p), inbound)
}

func limitNames(limits []*model.RateLimit) string {
	var b strings.Builder
	for _, l := range limits {
		fmt.Fprintf(&b, "%s/%s ", l.Namespace, l.Name)
	}
	return b.String()
}

// limitShape is all that listeners depend on.
func limitShape(limits []*model.RateLimit) string {
	var b strings.Builder
	for _, l := range limits {
		fmt.Fprintf(&b, "%s/%s %v,", l.Namespace, l.Name, l.Target.Refs)
	}
	return b.String()
}

// servicePortsKey tells workloads apart whose ports belong to different services.
func servicePortsKey(ports []model.InboundPort) string {
	var b strings.Builder
	for _, p := range ports {
		fmt.Fprintf(&b, "%d:%s ", p.Port, p.Service)
	}
	return b.String()
}

// limitsOf a configuration that a proxy rejects.
func (s *Snapshot) limitsOf(r model.Rejection) []culprit {
	for _, l := range s.mesh.RateLimits {
		if ratelimit.Named(r.Resource, l) {
			return []culprit{{l.Origin, "spec"}}
		}
	}
	return nil
}

// limits that hold for the proxy; of a resource that is one's own, that one. False when
// there is none.
func (m *madeOf) limits(resource string) bool {
	found := false
	for _, l := range m.s.limitsFor(m.p) {
		if resource == "" || ratelimit.Named(resource, l) {
			m.add(l.Origin)
			found = true
		}
	}
	return found
}
