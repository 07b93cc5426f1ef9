// SPDX-License-Identifier: Apache-2.0

package security

import (
	securityapi "istio.io/api/security/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Matches reads a rule of another kind of policy, whose from, to and when are those of
// an AuthorizationPolicy; field is where it stands in the object. The Problems
// are the object's; usable is false when what it matches can't be told.
func Matches(origin model.Origin, s *model.Settings, field string, rule *securityapi.Rule) (out model.AuthorizationRule, problems []model.Problem, usable bool) {
	r := reader{origin: origin, settings: s}
	out = r.rule(field, rule)
	return out, r.problems, r.fault == ""
}
