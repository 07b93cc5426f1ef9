// SPDX-License-Identifier: Apache-2.0

// Package problems writes what is wrong with an object of Istio's API onto the
// object itself, as the condition Reconciled of its status. It runs in the
// member's control plane, in one replica, after ingest, the translators and
// xDS, which find the Problems; here they only become conditions.
//
// An object that nothing was ever wrong with is never written to, so that a
// cluster in which all is well sees no writes. One that is mended keeps the
// condition from then on, as True, and its observedGeneration follows the
// object's.
//
// The writer knows the Problems of all objects, and of the proxies that are
// connected to its own replica. What only a proxy of another replica rejects that
// replica tells it (Reporter, Others).
package problems
