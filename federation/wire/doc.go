// SPDX-License-Identifier: Apache-2.0

// Package wire is what both ends of the federation's stream agree on: how an
// export of the model is written as a message and read back, what its hash is,
// and what a well-formed one looks like. The hub checks what members send, and
// an importing member checks what the hub relays, by the same rules.
//
// It is pure. It stands between controlplane/model and api/federation, below
// federation/hub and federation/member.
package wire
