// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"slices"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Kind of the objects.
const Kind = "RateLimitPolicy"

// Input is what limits are made of. Nothing in it is modified.
type Input struct {
	Policies []*v1alpha1.RateLimitPolicy
	Settings *model.Settings
	// Hostnames of the mesh's services, sorted.
	Hostnames []model.Hostname
}

// Output is the limits, oldest first, and what is wrong with policies. One that
// can't be had as a whole is not among the limits.
type Output struct {
	Limits   []*model.RateLimit
	Problems []model.Problem

	in Input
}

// Build makes the limits of a mesh. Prev is the last output, or nil; it decides
// which pointers are shared, never what the output says.
func Build(in Input, prev *Output) *Output {
	if prev != nil && keep.Same(prev.in, in) {
		return prev
	}
	if prev == nil {
		prev = &Output{}
	}
	if in.Settings == nil {
		in.Settings = &model.Settings{}
	}
	out := &Output{in: in}
	for _, o := range in.Policies {
		r := &reader{
			settings: in.Settings, hostnames: in.Hostnames,
			origin: model.Origin{Kind: Kind, Namespace: o.Namespace, Name: o.Name, CreatedUnix: o.CreationTimestamp.Unix()},
		}
		limit := r.policy(&o.Spec)
		if !r.broken {
			out.Limits = append(out.Limits, limit)
		}
		out.Problems = append(out.Problems, r.problems...)
	}
	slices.SortFunc(out.Limits, func(a, b *model.RateLimit) int { return a.Older(b.Origin) })
	out.Limits = keep.Share(prev.Limits, out.Limits)
	out.Problems = keep.Slice(prev.Problems, out.Problems)
	return out
}
