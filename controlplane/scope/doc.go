// SPDX-License-Identifier: Apache-2.0

// Package scope says what a caller sees of a mesh: which services (Istio's
// exportTo and Sidecar), which policy for each (DestinationRule, looked up in
// the caller's namespace, then the service's, then the root namespace) and
// which routings. It comes after model and before the translators of sidecars
// and gateways, which ask it.
//
// It is pure. What it works out is remembered as long as its inputs are the
// same pointers, also from one mesh to the next, so whoever memoises on what it
// returns may compare pointers.
package scope
