// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	limitconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/ratelimit/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	globalv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// notCounted is what a request is answered when the service can't be asked and
// the policy denies then.
const notCounted = typev3.StatusCode_ServiceUnavailable

// share of requests, in percent.
func share(percent uint32) *corev3.RuntimeFractionalPercent {
	return &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: percent}}
}

// enforced share of requests.
func enforced(l *model.RateLimit) *corev3.RuntimeFractionalPercent {
	if l.Shadow {
		return share(0)
	}
	return share(100)
}

// counting is the filter that counts by itself. It has no bucket for what no rule
// matches, so that isn't limited.
func counting(l *model.RateLimit, marks []mark) *localv3.LocalRateLimit {
	out := &localv3.LocalRateLimit{
		StatPrefix:                     statPrefix(l),
		Status:                         &typev3.HttpStatus{Code: typev3.StatusCode(l.Status)},
		FilterEnabled:                  share(100),
		FilterEnforced:                 enforced(l),
		ResponseHeadersToAdd:           headers(l),
		RateLimitedAsResourceExhausted: true,
		MaxDynamicDescriptors:          wrapperspb.UInt32(max(l.Counters, 1)),
		EnableRetryAfterHeader:         true,
	}
	if l.TellLimits {
		out.EnableXRatelimitHeaders = commonv3.XRateLimitHeadersRFCVersion_DRAFT_VERSION_03
	}
	for i := range l.Rules {
		r := &l.Rules[i]
		entries := []*commonv3.RateLimitDescriptor_Entry{{Key: ruleKey, Value: marks[i].id}}
		for j, k := range r.Keys {
			// Without a value it stands for each value that there is.
			entries = append(entries, &commonv3.RateLimitDescriptor_Entry{Key: keyName(j, k)})
		}
		out.RateLimits = append(out.RateLimits, &routev3.RateLimit{Actions: actions(marks[i], r.Keys)})
		out.Descriptors = append(out.Descriptors, &commonv3.LocalRateLimitDescriptor{
			Entries: entries,
			TokenBucket: &typev3.TokenBucket{
				MaxTokens: max(r.Burst, 1), TokensPerFill: wrapperspb.UInt32(max(r.Requests, 1)),
				FillInterval: durationpb.New(time.Duration(r.Unit.Seconds()) * time.Second),
			},
		})
	}
	return out
}

// asking is the filter that asks the service, which is told the limits.
func asking(l *model.RateLimit, marks []mark) *globalv3.RateLimit {
	out := &globalv3.RateLimit{
		Domain:                         l.Service.Domain,
		StatPrefix:                     statPrefix(l),
		Timeout:                        envoy.Milliseconds(l.Service.TimeoutMillis),
		FailureModeDeny:                l.Service.Deny,
		StatusOnError:                  &typev3.HttpStatus{Code: notCounted},
		RateLimitedStatus:              &typev3.HttpStatus{Code: typev3.StatusCode(l.Status)},
		RateLimitedAsResourceExhausted: true,
		ResponseHeadersToAdd:           headers(l),
		FilterEnabled:                  share(100),
		FilterEnforced:                 enforced(l),
		EnableRetryAfterHeader:         true,
		RateLimitService: &limitconfigv3.RateLimitServiceConfig{
			TransportApiVersion: corev3.ApiVersion_V3,
			GrpcService: &corev3.GrpcService{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
					ClusterName: envoy.Outbound(l.Service.Port, l.Service.Host), Authority: string(l.Service.Host),
				}},
				Timeout: envoy.Milliseconds(l.Service.TimeoutMillis),
			},
		},
	}
	if l.TellLimits {
		out.EnableXRatelimitHeaders = globalv3.RateLimit_DRAFT_VERSION_03
	}
	for i := range l.Rules {
		r := &l.Rules[i]
		out.RateLimits = append(out.RateLimits, &routev3.RateLimit{
			Actions: actions(marks[i], r.Keys),
			Limit: &routev3.RateLimit_Override{OverrideSpecifier: &routev3.RateLimit_Override_RateLimit{
				RateLimit: &routev3.RateLimit_Override_RateLimitOverride{RequestsPerUnit: r.Requests, Unit: unit(r.Unit)},
			}},
		})
	}
	return out
}

func unit(u model.RateUnit) typev3.RateLimitUnit {
	switch u {
	case model.PerMinute:
		return typev3.RateLimitUnit_MINUTE
	case model.PerHour:
		return typev3.RateLimitUnit_HOUR
	case model.PerDay:
		return typev3.RateLimitUnit_DAY
	}
	return typev3.RateLimitUnit_SECOND
}

func statPrefix(l *model.RateLimit) string { return "ratelimitpolicy." + l.Namespace + "." + l.Name }

func headers(l *model.RateLimit) []*corev3.HeaderValueOption {
	var out []*corev3.HeaderValueOption
	for _, h := range l.Headers {
		out = append(out, &corev3.HeaderValueOption{
			// Envoy takes a percent sign for the beginning of a variable.
			Header:       &corev3.HeaderValue{Key: h.Name, Value: strings.ReplaceAll(h.Value, "%", "%%")},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return out
}
