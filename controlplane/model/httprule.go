// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// HTTPRule says what becomes of requests. One of Destinations, Redirect and
// Direct is set; with none of them requests are answered with 500 (Gateway API:
// a rule without backends).
type HTTPRule struct {
	Name string
	// Matches: one of them must hold; none holds for all.
	Matches      []HTTPMatch
	Destinations []Destination
	Redirect     *Redirect
	Direct       *DirectResponse
	Rewrite      *Rewrite
	// Timeout of the whole request; nil for none.
	Timeout *time.Duration
	// BackendTimeout of one try; nil for none. Retries.PerTryTimeout goes before it.
	BackendTimeout *time.Duration
	// Retries; nil for the mesh's default.
	Retries *Retries
	Fault   *Fault
	Mirrors []Mirror
	CORS    *CORS
	Headers HeaderChanges
	// Invalid says why the rule is not to be followed: its requests are answered with 500.
	Invalid string
	// Delegate is the object that says this rule, when it isn't the routing's own; nil mostly.
	Delegate *Origin
}

// HeaderChanges of requests and responses.
type HeaderChanges struct{ Request, Response HeaderOps }

// HeaderOps change headers: removed first, then set, then added.
type HeaderOps struct {
	// Set overwrites, Add appends; both sorted by name, names as written.
	Set, Add []Header
	Remove   []string
}

// Header is a name with a value.
type Header struct{ Name, Value string }

// Redirect answers with a Location.
type Redirect struct {
	Scheme, Host string
	// Port of the Location; 0: see KeepPort and PortFromScheme.
	Port uint16
	// KeepPort of the request; PortFromScheme leaves the port away, so that the scheme's own holds.
	KeepPort, PortFromScheme bool
	// Path and PrefixPath: at most one is set. PrefixPath replaces what the match's prefix matched.
	Path, PrefixPath *string
	// Status is 301, 302, 303, 307 or 308.
	Status uint32
}

// DirectResponse answers without any upstream.
type DirectResponse struct {
	Status uint32
	Body   []byte
}

// Rewrite of a request before it is sent on.
type Rewrite struct {
	Authority string
	// Path, PrefixPath and Regex: at most one is set.
	Path, PrefixPath *string
	// Regex replaces what Pattern matches of the path with Substitution.
	Pattern, Substitution string
}

// DefaultAttempts beside the first try are made where neither the mesh
// (Settings.Retries) nor a rule says how many. They are more than Istio's two: a
// caller in another network may hold several connections to a pod that ends and
// refuses, and can't tell them from others (docs/adr/0004).
const DefaultAttempts = 5

// Retries of a request that failed.
type Retries struct {
	// Attempts beside the first; 0 turns retries off.
	Attempts uint32
	// MeshAttempts: Attempts are the mesh's.
	MeshAttempts  bool
	PerTryTimeout *time.Duration
	// On are Envoy's retry conditions, and Statuses the codes among them; both empty take the mesh's default.
	On       []string
	Statuses []uint32
	// RemoteLocalities also tries endpoints of other localities.
	RemoteLocalities bool
	// Backoff before the first retry; nil for Envoy's.
	Backoff *time.Duration
	// AnyHost: a retry may go to the endpoint that has just failed.
	AnyHost bool
}

// Fault is put into some requests on purpose.
type Fault struct {
	Delay *Delay
	Abort *Abort
}

// Delay of a share of the requests.
type Delay struct {
	Fixed time.Duration
	// Percent from 0 to 100.
	Percent float64
}

// Abort of a share of the requests, by an HTTP status, or by a gRPC status when GRPC is set.
type Abort struct {
	HTTPStatus uint32
	GRPCStatus *uint32
	Percent    float64
}

// Mirror sends a share of the requests to a second place as well, whose answer nobody awaits.
type Mirror struct {
	Destination Destination
	Percent     float64
}

// CORS policy of a rule (Fetch standard).
type CORS struct {
	Origins       []Match
	Methods       []string
	AllowHeaders  []string
	ExposeHeaders []string
	MaxAge        *time.Duration
	// Credentials: the answer allows them; nil says nothing.
	Credentials *bool
	// ForwardUnmatched: preflights from other origins reach the upstream.
	ForwardUnmatched bool
}
