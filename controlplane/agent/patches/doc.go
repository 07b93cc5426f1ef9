// SPDX-License-Identifier: Apache-2.0

// Package patches asks the control plane what EnvoyFilters want different in the
// bootstrap of this pod's proxy, before Envoy starts, and tells it what of that
// can't be. What was there last is kept in a file beside the bootstrap, for a
// container that starts again while the control plane is away. While Envoy runs
// nothing changes: the bootstrap is read once.
package patches
