// SPDX-License-Identifier: Apache-2.0

// Package meshfederation keeps each MeshFederation on the hub: its root of
// trust, the address at which members reach the hub, and the count of its
// members. Roster carries what both kinds say to the federation hub. It comes
// before meshmember, which brings the members in.
package meshfederation
