// SPDX-License-Identifier: Apache-2.0

package model

// Patch is one patch of an EnvoyFilter. Its pointer changes when anything in it
// changes.
type Patch struct {
	Origin
	// Index in spec.configPatches; Priority of the object: lower ones go first.
	Index    int
	Priority int32
	Target   Target
	// ApplyTo, Context and Operation as the EnvoyFilter API spells them: "HTTP_FILTER", "SIDECAR_INBOUND", "INSERT_BEFORE".
	ApplyTo, Context, Operation string
	FilterClass                 string
	// Match and Value are JSON as the API has them; Value is the Envoy message.
	Match, Value []byte
}
