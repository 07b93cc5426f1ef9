// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"slices"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previousprioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// standard conditions are those of requests that no server can have handled.
var standard = []string{"connect-failure", "refused-stream", "unavailable", "cancelled"}

// retry writes the rule's retries, else the mesh's, and the limit of one try.
func (r rule) retry(action *routev3.RouteAction) {
	policy := r.Retries
	switch mesh := r.Settings.Retries; {
	case policy == nil:
		policy = mesh
	case policy.MeshAttempts:
		with := *policy
		with.Attempts = model.DefaultAttempts
		if mesh != nil {
			with.Attempts = mesh.Attempts
		}
		policy = &with
	}
	action.RetryPolicy = RetryPolicy(policy)
	limit := r.BackendTimeout
	if policy != nil && policy.PerTryTimeout != nil {
		limit = policy.PerTryTimeout
	}
	if limit == nil || *limit <= 0 {
		return
	}
	if action.RetryPolicy == nil {
		// A limit without retries: one try.
		action.RetryPolicy = &routev3.RetryPolicy{NumRetries: wrapperspb.UInt32(0)}
	}
	action.RetryPolicy.PerTryTimeout = durationpb.New(*limit)
}

// RetryPolicy of retries as a rule or the mesh wants them; nil wants the
// default. It returns nil when retries are off. Whatever the conditions, what a
// sidecar says that it could not deliver is tried again: it is safe.
func RetryPolicy(want *model.Retries) *routev3.RetryPolicy {
	if want == nil {
		want = &model.Retries{Attempts: model.DefaultAttempts}
	}
	if want.Attempts == 0 {
		return nil
	}
	on := want.On
	if len(on) == 0 && len(want.Statuses) == 0 {
		on = standard
	}
	on = append(slices.Clone(on), "retriable-headers")
	if len(want.Statuses) > 0 && !slices.Contains(on, "retriable-status-codes") {
		on = append(on, "retriable-status-codes")
	}
	out := &routev3.RetryPolicy{
		RetryOn:              strings.Join(on, ","),
		RetriableStatusCodes: want.Statuses,
		RetriableHeaders: []*routev3.HeaderMatcher{{
			Name:                 envoy.UnreachedHeader,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
		}},
		NumRetries: wrapperspb.UInt32(want.Attempts),
	}
	if !want.AnyHost {
		out.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: previousHosts},
		}}
		out.HostSelectionRetryMaxAttempts = 5
	}
	if want.RemoteLocalities {
		out.RetryPriority = &routev3.RetryPolicy_RetryPriority{
			Name:       "envoy.retry_priorities.previous_priorities",
			ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{TypedConfig: previousPriorities},
		}
	}
	if want.Backoff != nil && *want.Backoff > 0 {
		// Envoy counts in milliseconds, and never waits longer than ten times the base.
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: durationpb.New(max(*want.Backoff, time.Millisecond))}
	}
	return out
}

// Read only. A new priority is chosen after two tries at the same, as in Istio.
var (
	previousHosts      = envoy.Any(&previoushostsv3.PreviousHostsPredicate{})
	previousPriorities = envoy.Any(&previousprioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: 2})
)
