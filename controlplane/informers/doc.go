// SPDX-License-Identifier: Apache-2.0

// Package informers reads from Kubernetes what a mesh is made of. It is the
// first step of the pipeline: ingest comes after it, and nothing else reads
// the cluster for the mesh.
//
// An event says only that something changed; what there is now is read from
// the caches, as a whole. Objects are stripped to what the mesh needs, and a
// change in what was stripped is none.
package informers
