// SPDX-License-Identifier: Apache-2.0

// Package machine is what a machine outside the cluster joins the mesh with:
// Files makes cluster.env and mesh.yaml of a WorkloadGroup, for the command that
// sets a machine up, and Variables is what the agent there reads out of them.
// Names and form are Istio's, so files that istioctl made do as well. Pure.
package machine
