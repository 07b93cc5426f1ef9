// SPDX-License-Identifier: Apache-2.0

// Package inject puts the sidecar into pods. One engine serves the admission
// webhook (Handler) and the command line (Resource): a template, which is
// configuration, renders the part of a pod that the sidecar is, and Inject
// merges it into the pod. Inject is pure; Handler is the edge.
//
// The template and the rules of who is injected are Istio's.
package inject
