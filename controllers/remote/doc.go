// SPDX-License-Identifier: Apache-2.0

// Package remote reaches the members' API servers from the hub: Secret →
// kubeconfig → client → who and what answers. The member controller calls it
// first of all. Every way to fail has a reason and a mend; nothing that a
// kubeconfig holds is ever in an error.
package remote
