// SPDX-License-Identifier: Apache-2.0

// Package hub is the middle of the flow between clusters: what each member
// exports → what each member imports. It comes after federation/member of the
// exporter and before federation/member of the importer.
//
// State is the pure core: events in, outputs out, no clock, no lock, no I/O.
// Server is its edge: gRPC over mutual TLS, one stream per control plane
// instance. The controllers tell it who the members are (SetFederations,
// SetMembers) and read Status and Changed for their conditions.
//
// Three rules hold everywhere. The hub derives who speaks from the certificate,
// it never believes the message. Silence is not deletion: a member that has not
// synced since the hub started keeps what others imported from it. And no
// member waits for another: each stream has its own coalescing queue.
package hub
