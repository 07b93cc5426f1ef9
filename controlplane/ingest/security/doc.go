// SPDX-License-Identifier: Apache-2.0

// Package security turns Istio's AuthorizationPolicy and RequestAuthentication
// into the model. It is pure and stands between informers (objects) and
// controlplane/policy (Envoy filters). A policy that can't be had is not left
// out: it is marked Invalid, denies what it was to guard, and a Problem says why.
package security
