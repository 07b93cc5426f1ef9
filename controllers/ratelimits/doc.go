// SPDX-License-Identifier: Apache-2.0

// Package ratelimits writes the statuses of RateLimitPolicies: whether each can be
// used as it is (Accepted), and whether there are proxies that have it (Programmed). Conditions is
// pure: a mesh and its Problems in, conditions out; Controller writes them, in one replica at a time.
package ratelimits
