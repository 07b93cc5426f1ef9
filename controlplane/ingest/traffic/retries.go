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
		PerTryTimeout:    positive(given.GetPerTryTimeout(), "perTryTimeout", report),
		Backoff:          positive(given.GetBackoff(), "backoff", report),
	}
	if n := given.GetAttempts(); n >= 0 {
		out.Attempts = uint32(n)
	} else {
		report("attempts", invalid, "%d is no number of retries, and none is made; use 0 or more", n)
	}
	for _, word := range strings.Split(given.GetRetryOn(), ",") {
		word = strings.ToLower(strings.TrimSpace(word))
		status, err := strconv.ParseUint(word, 10, 32)
		switch {
		case word == "":
		case err == nil && status >= 100 && status <= 599:
			out.Statuses = append(out.Statuses, uint32(status))
		case slices.Contains(retryConditions, word):
			out.On = append(out.On, word)
		default:
			report("retryOn", invalid, "%q is no retry condition of Envoy and no status code, and is left out; correct it", word)
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
