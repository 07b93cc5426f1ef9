// SPDX-License-Identifier: Apache-2.0

// Package ratelimit is the part of ingest that reads RateLimitPolicies
// (policy.isthmesh.dev): each becomes a model.RateLimit, or Problems that say why not.
// What their rules match is read as in AuthorizationPolicies, by package security. Pure.
package ratelimit
