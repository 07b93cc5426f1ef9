// SPDX-License-Identifier: Apache-2.0

package model

// MatchKind says how a Match compares.
type MatchKind uint8

// The ways to compare. The zero value matches any value, also an absent one.
const (
	MatchAny MatchKind = iota
	MatchExact
	// MatchPrefix compares bytes: /foo matches /foobar.
	MatchPrefix
	// MatchPathPrefix compares whole path segments: /foo matches /foo and /foo/bar, not /foobar.
	MatchPathPrefix
	MatchSuffix
	// MatchRegex is RE2, over the whole value.
	MatchRegex
	// MatchPresent wants any value that is there.
	MatchPresent
	// MatchTemplate is a path with {*} for one segment and {**} for any number (Envoy's URI template).
	MatchTemplate
)

// Match of one string.
type Match struct {
	Kind  MatchKind
	Value string
	// IgnoreCase of ASCII letters.
	IgnoreCase bool
}

// NamedMatch is a match of a header's or a query parameter's value. Header
// names are lower case.
type NamedMatch struct {
	Name string
	Match
	// Not: it must not match. With MatchPresent: it must be absent.
	Not bool
}

// HTTPMatch holds when everything in it holds.
type HTTPMatch struct {
	// Name for access logs.
	Name string
	// StatPrefix gives requests that match statistics of their own; empty for none.
	StatPrefix string
	Path       Match
	Scheme     Match
	// Method of the request.
	Method Match
	// Authority is the Host header.
	Authority Match
	// Headers sorted by name.
	Headers []NamedMatch
	// Query parameters sorted by name.
	Query []NamedMatch
	// Port that the caller called; 0 for any.
	Port uint16
	// IgnorePathCase compares the path without regard to case.
	IgnorePathCase bool
	From           Callers
}

// Callers narrow a rule to some proxies. The zero value is all of them.
type Callers struct {
	// Labels of the calling workload.
	Labels Labels
	// Namespace of the calling workload; empty for any.
	Namespace string
	// Gateways that the rule holds at; nil for all of its Routing, mesh included.
	Gateways []GatewayRef
}

// Sidecars as a GatewayRef stands for all sidecars (Istio's reserved gateway "mesh").
var Sidecars = GatewayRef{Name: "mesh"}

// GatewayRef names a Gateway, and one of its listeners when Listener is not empty.
type GatewayRef struct{ Namespace, Name, Listener string }
