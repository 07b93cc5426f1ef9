// SPDX-License-Identifier: Apache-2.0

package analyze

import (
	"fmt"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/ratelimit"
)

// limits must hold somewhere, and count by what their workloads know. What they name and
// isn't there is told where they are translated. Without any workloads nothing is known of them.
func (a *analysis) limits() {
	if len(a.mesh.Workloads) == 0 {
		return
	}
	for _, l := range a.mesh.RateLimits {
		at := ratelimit.At(a.mesh, l)
		if len(at) == 0 {
			a.problems = append(a.problems, ratelimit.Nowhere(a.mesh, l))
		}
		if len(at) == 0 || len(l.Target.Refs) > 0 {
			continue
		}
		matches := &model.Authorization{Origin: l.Origin}
		for i := range l.Rules {
			matches.Rules = append(matches.Rules, l.Rules[i].Match)
		}
		a.rulePorts(matches, at)
		a.tokens(matches, at)
		a.claims(l, at)
	}
}

// claims that requests are counted by must be read by a RequestAuthentication.
func (a *analysis) claims(l *model.RateLimit, at []*model.Workload) {
	for i := range l.Rules {
		for j, k := range l.Rules[i].Keys {
			if k.Kind == model.KeyClaim && !a.readsTokens(at) {
				a.tell(l.Origin, fmt.Sprintf("spec.rules[%d].keys[%d]", i, j), TokenNotRead, "no RequestAuthentication applies to the workloads that this policy does, so all requests share a counter; add one")
			}
		}
	}
}
