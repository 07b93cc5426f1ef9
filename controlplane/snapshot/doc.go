// SPDX-License-Identifier: Apache-2.0

// Package snapshot says which proxy sees which Envoy resources. It comes after
// the translators sidecar and eastwest, whose results it remembers, and before
// xds, which sends them.
//
// Proxies that see the same form a class (scope.Class). Sidecars that no
// configuration names form one, which is translated when a snapshot is built; the
// others when the first proxy of a class asks, and then only where their inputs
// differ from everybody's: all else is everybody's, by pointer. A result is kept
// for as long as its inputs are the same pointers, and an equal result keeps the
// old pointer, so a change of one endpoint makes one new resource. It is pure.
package snapshot
