// SPDX-License-Identifier: Apache-2.0

// Package workloadentry writes the WorkloadEntries of machines that register
// themselves. Each replica of the control plane has a Registrar, which writes what
// the machines connected to it say; the leader has a Sweeper, which removes entries
// whose machines are gone, also those of replicas that ended without a word. What
// to write is decided in controlplane/registration.
package workloadentry
