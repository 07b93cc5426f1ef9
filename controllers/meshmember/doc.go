// SPDX-License-Identifier: Apache-2.0

// Package meshmember brings each MeshMember's cluster into its federation, on
// the hub: reach the cluster → install → enrol → learn the gateway's address →
// watch its stream; and takes it out again. A reconcile is a list of phases
// that record facts, one pure function from facts to status, and one patch.
//
// Beside it stands Enroller, with which the federation hub signs the members'
// intermediate CAs: what it decides on is in MeshMember.status, which it
// writes before it answers.
package meshmember
