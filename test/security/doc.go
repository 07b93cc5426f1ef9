// SPDX-License-Identifier: Apache-2.0

// Package security asks real Envoys whether they let calls in, thousands of
// them, and compares with what Istio's documentation says. testdata holds the
// table: policies as users write them, and the calls as axes whose product is
// asked. It is executed at a sidecar, at ingress and egress gateways, and over whole
// journeys: from an application through its sidecar and an egress gateway to the outside, and
// through a gateway between networks to another member. The folders ingress, egress,
// eastwest and way-out have what is of one place only, and places the objects that
// make the gateways. The expected verdict comes from the oracle in this
// package, which reads the same YAML and knows nothing of the translators; rows
// that say "expect" are verdicts worked out by hand, which check the oracle.
//
// Attacks of the past are replayed: those in testdata/replays and TestReplay*,
// TestForged*, TestPaths*, TestExternalAuthorizers (several values of a header) by
// name. A replay proves itself: it is played again with the defence taken out of what the
// proxy gets, and must then succeed.
package security
