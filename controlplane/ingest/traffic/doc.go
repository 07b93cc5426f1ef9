// SPDX-License-Identifier: Apache-2.0

// Package traffic reads the pieces of Istio's traffic API that stand in
// MeshConfig as well as in VirtualServices and DestinationRules: retries,
// locality balancing, keepalive. It is a part of ingest and pure.
package traffic

// Report takes what is wrong with a field. Field is the path below the piece,
// empty for the piece itself; reason is one of ingest's.
type Report func(field, reason, format string, args ...any)

const (
	invalid      = "Invalid"
	noEffect     = "NoEffect"
	notSupported = "NotSupported"
)
