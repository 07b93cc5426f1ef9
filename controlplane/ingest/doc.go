// SPDX-License-Identifier: Apache-2.0

// Package ingest turns Kubernetes and Istio objects, and what other members
// export, into a model.Mesh. It comes after informers and before the
// translators. It is pure: an object it cannot use becomes a Problem.
//
// Build makes the whole mesh each time, but pays only for what changed: the
// objects of the last Input are compared by pointer with those of this one,
// and what was not touched keeps its pointers in the new Mesh.
package ingest
