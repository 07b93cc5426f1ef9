// SPDX-License-Identifier: Apache-2.0

package ratelimits

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/problems"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/ratelimit"
)

// The conditions of a RateLimitPolicy.
const (
	Accepted   = "Accepted"
	Programmed = "Programmed"
)

const kind = "RateLimitPolicy"

// named are as many pods as a message has.
const named = 3

// Status is what a policy is to be told.
type Status struct {
	Namespace, Name, UID string
	Generation           int64
	Conditions           []metav1.Condition
}

// Statuses of policies, of which a mesh was made; found are its Problems, of all kinds, with
// what proxies refuse.
func Statuses(policies []*v1alpha1.RateLimitPolicy, mesh *model.Mesh, found []model.Problem) []Status {
	type name struct{ namespace, name string }
	about := map[name][]model.Problem{}
	for _, p := range found {
		if p.Kind == kind {
			about[name{p.Namespace, p.Name}] = append(about[name{p.Namespace, p.Name}], p)
		}
	}
	limits := map[name]*model.RateLimit{}
	for _, l := range mesh.RateLimits {
		limits[name{l.Namespace, l.Name}] = l
	}
	out := make([]Status, 0, len(policies))
	for _, o := range policies {
		k := name{o.Namespace, o.Name}
		out = append(out, Status{
			Namespace: o.Namespace, Name: o.Name, UID: string(o.UID), Generation: o.Generation,
			Conditions: Conditions(mesh, limits[k], about[k]),
		})
	}
	return out
}

// Conditions of one policy; limit is what the mesh has of it, nil for nothing.
func Conditions(mesh *model.Mesh, limit *model.RateLimit, found []model.Problem) []metav1.Condition {
	var refused, others []model.Problem
	for _, p := range found {
		if p.Reason == model.RejectedByProxy {
			refused = append(refused, p)
		} else {
			others = append(others, p)
		}
	}
	accepted := problems.Condition(others)
	accepted.Type = Accepted
	if len(others) == 0 {
		accepted.Reason = Accepted
	}
	programmed := status.False(Programmed, "NotAccepted", "no proxy has it, because it can't be used as it is")
	if limit != nil {
		programmed = inForce(mesh, limit)
	}
	if len(refused) > 0 {
		programmed = problems.Condition(refused)
		programmed.Type = Programmed
	}
	return []metav1.Condition{accepted, programmed}
}

// inForce tells at which pods a limit is.
func inForce(mesh *model.Mesh, limit *model.RateLimit) metav1.Condition {
	var pods []string
	for _, w := range ratelimit.At(mesh, limit) {
		pods = append(pods, w.Namespace+"/"+w.Name)
	}
	if len(pods) == 0 {
		nowhere := problems.Condition([]model.Problem{ratelimit.Nowhere(mesh, limit)})
		nowhere.Type = Programmed
		return nowhere
	}
	slices.Sort(pods)
	more := ""
	if len(pods) > named {
		pods, more = pods[:named], " and others"
	}
	return status.True(Programmed, Programmed, "it is in force at %s%s", strings.Join(pods, ", "), more)
}
