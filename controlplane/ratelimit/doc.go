// SPDX-License-Identifier: Apache-2.0

// Package ratelimit turns RateLimitPolicies into Envoy's filters: each policy is one
// filter that is discovered by name in the listeners that it is for, and its rules and limits are
// a resource of its own. So a change of a limit drains no listener. It comes after the
// translators, whose listeners it adds to, and before extension and patch; snapshot calls it and
// remembers the results. Pure.
package ratelimit
