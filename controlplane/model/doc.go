// SPDX-License-Identifier: Apache-2.0

// Package model is the typed view of one member's mesh: what ingest builds out
// of Kubernetes objects and of what other members export, and what the
// translators (sidecar, eastwest) turn into Envoy resources.
//
// It is pure and imports nothing but the standard library. Every value is
// immutable once it is part of a Mesh. An unchanged part of the next Mesh is
// the same pointer: whoever memoises may key on pointers, never on hand-made
// keys. Slices are sorted where they are made, so that the same input gives
// the same bytes.
package model
