// SPDX-License-Identifier: Apache-2.0

// Package security asks real Envoys whether they let calls in, thousands of
// them, and compares with what Istio's documentation says. testdata holds the
// table: policies as users write them, and the calls as axes whose product is
// asked. It is executed at a sidecar, and at ingress and egress gateways; the
// folders ingress, egress and eastwest have what is of one place only, and places
// the objects that make the gateways. The expected verdict comes from the oracle in this
// package, which reads the same YAML and knows nothing of the translators; rows
// that say "expect" are verdicts worked out by hand, which check the oracle.
package security
