// SPDX-License-Identifier: Apache-2.0

// Package readiness asks the application of a machine whether it can take
// calls, as its WorkloadGroup's probe says, and tells the control plane each
// change. In a pod the kubelet does that. Parse reads the probe, Checker asks
// and counts, Reporter tells.
package readiness
