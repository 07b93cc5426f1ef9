// SPDX-License-Identifier: Apache-2.0

// Package install renders charts into objects and brings a cluster to them. The
// member controller and the command line call it: values → Render → objects →
// Apply → cluster, and Delete takes away again what an inventory names.
//
// Rendering is pure: charts are embedded, nothing is looked up in a cluster.
// There are no Helm releases; what was installed stands in one ConfigMap of the
// cluster itself.
package install
