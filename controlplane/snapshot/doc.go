// SPDX-License-Identifier: Apache-2.0

// Package snapshot says which proxy sees which Envoy resources. It comes after
// the translators sidecar and eastwest, whose results it remembers, and before
// xds, which sends them.
//
// Proxies that see the same form a class. What is the same for all is
// translated when a snapshot is built, what differs when the first proxy of a
// class asks. A result is kept for as long as its inputs are the same pointers,
// and an equal result keeps the old pointer, so a change of one endpoint makes
// one new resource. It is pure.
package snapshot
