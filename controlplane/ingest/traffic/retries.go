// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// retryConditions are the words of Envoy's x-envoy-retry-on and
// x-envoy-retry-grpc-on that hold for requests over HTTP.
var retryConditions = []string{
	"5xx", "cancelled", "connect-failure", "deadline-exceeded", "envoy-ratelimited", "gateway-error",
	"http3-post-connect-failure", "internal", "refused-stream", "reset", "reset-before-request", "resource-exhausted",
	"retriable-4xx", "retriable-headers", "retriable-status-codes", "unavailable",
}

// Retries reads a retry policy; nil for nil. What can't be used is left out.
func Retries(given *networking.HTTPRetry, report Report) *model.Retries {
	if given == nil {
		return nil
	}
	out := &model.Retries{
		RemoteLocalities: given.GetRetryRemoteLocalities().GetValue(),
		AnyHost:          given.GetRetryIgnorePreviousHosts() != nil && !given.GetRetryIgnorePreviousHosts().GetValue(),
		PerTryTimeout:    orZero(given.GetPerTryTimeout(), "perTryTimeout", report),
		Backoff:          positive(given.GetBackoff(), "backoff", report),
	}
	if n := given.GetAttempts(); n >= 0 {
		out.Attempts = uint32(n)
	} else {
		report("attempts", invalid, "%d is no number of retries, and none is made; use 0 or more", n)
	}
	if given.GetAttempts() == 0 && (given.GetRetryOn() != "" || given.GetPerTryTimeout() != nil || given.GetRetryRemoteLocalities() != nil) {
		report("attempts", invalid, "0 attempts turn retries off, so the rest changes nothing; give a number above 0")
	}
	if given.GetAttempts() == 0 && given.GetBackoff() != nil {
		report("backoff", noEffect, "0 attempts turn retries off, so it changes nothing; give attempts a number above 0")
	}
	for word := range strings.SplitSeq(given.GetRetryOn(), ",") {
		word = strings.ToLower(strings.TrimSpace(word))
		status, err := strconv.ParseUint(word, 10, 32)
		switch {
		case word == "":
		case err == nil && status >= 100 && status <= 599:
			out.Statuses = append(out.Statuses, uint32(status))
		case err == nil:
			report("retryOn", invalid, "%d is no status, and is left out; use 100 to 599", status)
		case slices.Contains(retryConditions, word):
			out.On = append(out.On, word)
		default:
			report("retryOn", invalid, "%.100q is no condition that Envoy knows, and is left out; use %s or a status", word, strings.Join(retryConditions, ", "))
		}
	}
	slices.Sort(out.On)
	out.On = slices.Compact(out.On)
	slices.Sort(out.Statuses)
	out.Statuses = slices.Compact(out.Statuses)
	return out
}

// positive is a duration of a millisecond at least; nil for none or a wrong one.
func positive(d *durationpb.Duration, field string, report Report) *time.Duration {
	if d == nil {
		return nil
	}
	if !d.IsValid() || d.AsDuration() < time.Millisecond {
		report(field, invalid, "%v is not used; give a millisecond or more", d.AsDuration())
		return nil
	}
	return new(d.AsDuration())
}

// orZero takes a duration of zero too, which turns something off.
func orZero(d *durationpb.Duration, field string, report Report) *time.Duration {
	if d != nil && d.GetSeconds() == 0 && d.GetNanos() == 0 {
		return new(time.Duration)
	}
	return positive(d, field, report)
}
