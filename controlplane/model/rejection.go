// SPDX-License-Identifier: Apache-2.0

package model

// RejectedByProxy is the reason of a Problem that a proxy found: it refuses what
// was made of the object.
const RejectedByProxy = "RejectedByProxy"

// Rejection is a resource that a proxy was sent, still is to have, and refuses (NACK).
type Rejection struct {
	Proxy *Proxy
	// TypeURL and Resource, by name; without a name when the proxy's reason doesn't
	// tell which of several it means.
	TypeURL, Resource string
	// Version of the resource that it refuses; empty when nobody knows.
	Version string
	// Reason is what the proxy says, of bounded length. It is the proxy's own text.
	Reason string
}
