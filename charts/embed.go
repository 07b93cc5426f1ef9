// SPDX-License-Identifier: Apache-2.0

// Package charts holds the Helm charts that make a mesh: the same files serve
// `helm install`, Argo CD, Flux and the hub operator, which renders them in
// process (controllers/install).
//
//	base     definitions of the APIs the mesh speaks, and roles for their users
//	istiod   the control plane of one cluster
//	gateway  a proxy at an edge; between networks with networkGateway set
//	hub      the operator of a federation
//
// The definitions of others (Istio, multi-cluster services) are not kept in the
// repository: `make generate` takes them out of the modules that go.mod pins.
package charts

import "embed"

// FS is the charts as they were when the binary was built. The folder
// base/crds is empty in a build that ran without `make generate`.
//
//go:embed all:base all:istiod all:gateway all:hub
var FS embed.FS
