// SPDX-License-Identifier: Apache-2.0

// Package bootstrap makes the file that Envoy starts with: who it is, where
// its control plane is and how it proves itself to it, and the few listeners
// that are there before the control plane has said anything. All else comes by
// xDS. Build is pure; Write is the edge.
package bootstrap
