// SPDX-License-Identifier: Apache-2.0

package wire

// Bounds of one message and one service. A message that breaks the first ends
// its stream, a service that breaks another is refused.
const (
	// MaxMessageBytes is the largest message that either end takes.
	MaxMessageBytes = 4 << 20
	// MaxHellos is how many messages Hello may take: it names, with a hash,
	// every service that a member imports.
	MaxHellos = 64
	// ChunkBytes is where a sender ends a message and goes on in the next.
	ChunkBytes = 256 << 10
	// MaxRefusalsBytes is where a list of refusals is cut.
	MaxRefusalsBytes = 1 << 20
	// MaxServiceBytes of one service, so that a chunk with it stays far below MaxMessageBytes.
	MaxServiceBytes = 2 << 20
	// MaxPorts of a service.
	MaxPorts = 100
	// MaxAccounts are the service accounts behind a service.
	MaxAccounts = 500
	// MaxZones of a port.
	MaxZones = 200
	// MaxSubsets of a port.
	MaxSubsets = 64
	// MaxLabels of a subset, or of an endpoint.
	MaxLabels = 64
	// MaxEndpoints of a port.
	MaxEndpoints = 10_000
	// MaxReady endpoints that a zone may claim: weights over all zones and
	// members must stay in 32 bits.
	MaxReady = 100_000
	// MaxGateways of a member.
	MaxGateways = 64
	// maxHash is the longest hash that a sender may ask to be given back.
	maxHash = 64
)
