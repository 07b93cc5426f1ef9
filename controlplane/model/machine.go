// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"time"
)

// Machine is a workload outside of the cluster whose proxy asks to be registered
// as a member of a WorkloadGroup (node metadata AUTO_REGISTER_GROUP). It is known
// to who it belongs by its pointer: each of its streams has one of its own.
type Machine struct {
	// Namespace and ServiceAccount are what its credential proves.
	Namespace, ServiceAccount string
	// Group is the WorkloadGroup of that namespace.
	Group string
	// Address where it answers; invalid when it told none.
	Address  netip.Addr
	Network  NetworkID
	Locality Locality
	Labels   map[string]string
	// Probed: it checks the workload's health and reports it.
	Probed bool
}

// MachineStream is what one stream of a machine says so far.
type MachineStream struct {
	// Configured is when it first asked for configuration; zero for a stream that
	// only reports health, or asks for other things.
	Configured time.Time
	// Health is its last report; nil for none.
	Health *MachineHealth
}

// MachineHealth is a report of a machine's agent on the workload beside it.
type MachineHealth struct {
	Healthy bool
	// Message says why it isn't.
	Message string
	// At is when the report came.
	At time.Time
}
