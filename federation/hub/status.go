// SPDX-License-Identifier: Apache-2.0

package hub

// Status is what the hub knows of one member's stream, for its conditions.
type Status struct {
	// Connected is the number of control plane instances with a stream.
	Connected int
	// Exporting: at least one of them has told all that it exports since the hub
	// started. While false the hub doesn't know, and importers keep what they have.
	Exporting bool
	// Synced: a connected instance holds all that there was to import when it
	// connected, and has told all that it exports.
	Synced bool
	// Exported is the number of services that the hub takes from the member.
	Exported int
	// Imported is the number of services of other members that it is given.
	Imported int
	// Refused are the exports that the hub refuses or takes only in part, sorted.
	Refused []Refusal
	// RefusedImports are the imports that the member itself refused, sorted.
	RefusedImports []Refusal
	// Unreached are its gateways that other members say they don't reach.
	Unreached []UnreachedGateway
	// LastError is why the member's last stream ended; empty while connected.
	LastError string
}

// FederationStatus counts over all members of a federation.
type FederationStatus struct {
	// ExportedServices is the number of services that at least one member exports.
	ExportedServices int
	// Exporting is the number of members whose exports are known.
	Exporting int
}

// Refusal says why a service is not taken, or not in full.
type Refusal struct {
	// Member that exports it.
	Member          string
	Namespace, Name string
	// Reason is one CamelCase word, stable for machines.
	Reason string
	// Message says what is wrong and what mends it.
	Message string
}
