// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types. All are positive; Reconciling and Stalled follow kstatus and
// are absent when they don't hold.
const (
	Ready       = "Ready"
	Reconciling = "Reconciling"
	Stalled     = "Stalled"

	// Reachable: the member's API server answers the hub.
	Reachable = "Reachable"
	// TrustReady: a federation has its root; a member has its intermediate.
	TrustReady = "TrustReady"
	// ControlPlaneReady: the member's control plane is installed and available.
	ControlPlaneReady = "ControlPlaneReady"
	// GatewayReady: the east-west gateway is available and its address known.
	GatewayReady = "GatewayReady"
	// EndpointsSynced: the member's stream to the hub is up and both sides hold the same.
	EndpointsSynced = "EndpointsSynced"
	// MembersReady: all members of a federation are ready.
	MembersReady = "MembersReady"
)
