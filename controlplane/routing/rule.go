// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"strconv"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// rule is one HTTP rule where it is translated.
type rule struct {
	Context
	*model.HTTPRule
	routing *model.Routing
	index   int
	// problems of the rule go there.
	problems *[]model.Problem
}

// tell a problem of a field below the rule.
func (r rule) tell(field, reason, message string) {
	*r.problems = append(*r.problems, r.routing.Problem(r.field(field), reason, message))
}

// field is the path of a part of the rule in the object that it came from.
func (r rule) field(part string) string {
	list := "spec.http["
	if r.routing.BySpecificity {
		list = "spec.rules["
	}
	return list + strconv.Itoa(r.index) + "]." + part
}

// destinationField is the path of one of the rule's destinations.
func (r rule) destinationField(i int) string {
	if r.routing.BySpecificity {
		return "backendRefs[" + strconv.Itoa(i) + "]"
	}
	return "route[" + strconv.Itoa(i) + "].destination.host"
}

// matchField is the path of a part of one of the rule's matches. The two APIs
// call them differently.
func (r rule) matchField(i int, istio, gateway string) string {
	if r.routing.BySpecificity {
		return "matches[" + strconv.Itoa(i) + "]." + gateway
	}
	return "match[" + strconv.Itoa(i) + "]." + istio
}
