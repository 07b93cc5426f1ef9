// SPDX-License-Identifier: Apache-2.0

package model

// RateLimit is a RateLimitPolicy (policy.isthmesh.dev): limits of what its
// workloads, or a gateway, take. Its pointer changes when anything in it changes.
type RateLimit struct {
	Origin
	// Target is the workloads or gateways that it is for. Of a Service among Target.Refs
	// it is the ports of workloads that belong to the service.
	Target Target
	// Rules, of which each counts what it matches.
	Rules []RateRule
	// Shadow counts and refuses nothing.
	Shadow bool
	// Counters that a proxy remembers for each rule with keys, when there is no Service.
	Counters uint32
	// Service that counts for all proxies; nil: each counts by itself.
	Service *RateService
	// Status of what is refused, and its headers.
	Status  uint32
	Headers []Header
	// TellLimits in the responses to what rules match (X-RateLimit-Limit and the like).
	TellLimits bool
}

// RateRule is a limit for the requests that it matches.
type RateRule struct {
	Name  string
	Match AuthorizationRule
	// Requests in each Unit, and Burst at once; Burst is 0 where a service counts.
	Requests, Burst uint32
	Unit            RateUnit
	// Keys by which requests are counted apart.
	Keys []RateKey
}

// RateUnit is a time in which requests are counted.
type RateUnit uint8

// The units.
const (
	PerSecond RateUnit = iota
	PerMinute
	PerHour
	PerDay
)

// Seconds of a unit.
func (u RateUnit) Seconds() int64 { return [...]int64{1, 60, 3600, 86400}[u&3] }

// RateKey is what requests are counted by.
type RateKey struct {
	Kind RateKeyKind
	// Path is a header's name, or the path to a claim; nil for the other kinds.
	Path []string
}

// RateKeyKind is a property of a request.
type RateKeyKind uint8

// The kinds.
const (
	// KeyPrincipal is the caller's identity in the mesh.
	KeyPrincipal RateKeyKind = iota
	// KeyAddress is the client's address.
	KeyAddress
	KeyPath
	KeyMethod
	KeyHost
	KeyHeader
	// KeyClaim of a verified token.
	KeyClaim
)

// RateService counts for many proxies (envoy.service.ratelimit.v3).
type RateService struct {
	Host   Hostname
	Port   uint16
	Domain string
	// Deny requests while it can't be asked.
	Deny          bool
	TimeoutMillis int64
}
