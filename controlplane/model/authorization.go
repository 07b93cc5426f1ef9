// SPDX-License-Identifier: Apache-2.0

package model

import "strings"

// AuthorizationAction is what an Authorization does with what it matches.
type AuthorizationAction uint8

// The actions, in the order in which they are asked: CUSTOM, DENY, ALLOW; AUDIT decides nothing.
const (
	Allow AuthorizationAction = iota
	Deny
	Audit
	Custom
)

// Authorization is an AuthorizationPolicy. Its pointer changes when anything in
// it changes.
type Authorization struct {
	Origin
	Target Target
	Action AuthorizationAction
	// Provider of a Custom action, by its name in Settings.Providers.
	Provider string
	// Rules: one must match. None never matches: an Allow without rules allows nothing.
	Rules []AuthorizationRule
	// DryRun decides nothing and is told in logs and metrics (annotation istio.io/dry-run).
	DryRun bool
	// Invalid says why it can't be had; what it was to guard is denied.
	Invalid string
}

// Target is what a policy of a namespace applies to.
type Target struct {
	// Selector of workloads; empty: the namespace's, or all of the mesh's when
	// the namespace is the root namespace.
	Selector Labels
	// Refs to Gateways, GatewayClasses, Services or ServiceEntries, instead of Selector.
	Refs []TargetRef
}

// TargetRef names an object of the policy's namespace.
type TargetRef struct{ Group, Kind, Name string }

// AuthorizationRule matches when one of From (or none is given), one of To (or
// none is given) and all of When match.
type AuthorizationRule struct {
	From []Source
	To   []Operation
	When []Condition
}

// Values match when one of In does (or In is empty) and none of NotIn does.
// Each is exact, "prefix*", "*suffix" or "*" (present).
type Values struct{ In, NotIn []string }

// Empty asks nothing.
func (v Values) Empty() bool { return len(v.In) == 0 && len(v.NotIn) == 0 }

// Source of a request; everything in it must match.
type Source struct {
	// Principals are identities without "spiffe://".
	Principals        Values
	RequestPrincipals Values
	Namespaces        Values
	// ServiceAccounts are "namespace/name", or the name alone in the policy's own namespace.
	ServiceAccounts Values
	TrustDomains    Values
	IPBlocks        Values
	RemoteIPBlocks  Values
}

// Operation of a request; everything in it must match.
type Operation struct {
	Hosts   Values
	Ports   Values
	Methods Values
	// Paths may have {*} and {**} (Envoy's URI templates).
	Paths Values
}

// Condition on an attribute, by its key in Istio's AuthorizationPolicy conditions.
type Condition struct {
	Key string
	Values
}

// Attribute splits the key into the attribute's name and what stands in its
// brackets: request.auth.claims[a][b] gives request.auth.claims and a, b. False
// when brackets don't pair.
func (c Condition) Attribute() (name string, path []string, ok bool) {
	name, rest, found := strings.Cut(c.Key, "[")
	if !found {
		return c.Key, nil, !strings.Contains(c.Key, "]")
	}
	for {
		part, after, closed := strings.Cut(rest, "]")
		if !closed || part == "" || strings.Contains(part, "[") {
			return name, nil, false
		}
		path = append(path, part)
		if after == "" {
			return name, path, true
		}
		if after[0] != '[' {
			return name, nil, false
		}
		rest = after[1:]
	}
}

// RequestAuthentication says which tokens are taken. Its pointer changes when
// anything in it changes.
type RequestAuthentication struct {
	Origin
	Target Target
	Rules  []JWTRule
}

// JWTRule is one issuer of tokens (RFC 7519).
type JWTRule struct {
	Issuer    string
	Audiences []string
	// JWKS is the key set (RFC 7517), fetched already when JWKSURI is set; empty
	// when it could not be had: then no token of this issuer is valid.
	JWKS    string
	JWKSURI string
	// FromHeaders, FromParams and FromCookies are where tokens are; all empty: the
	// Authorization header with Bearer, and parameter access_token.
	FromHeaders []Header
	FromParams  []string
	FromCookies []string
	// ClaimsToHeaders: Name is the header, Value the claim.
	ClaimsToHeaders []Header
	// SpaceDelimitedClaims hold several values each, besides scope and permission.
	SpaceDelimitedClaims []string
	// OutputHeader gets the payload in base64url; empty for none.
	OutputHeader string
	// Forward keeps the token in the request.
	Forward bool
	// Invalid says why the rule can't be had: tokens of this issuer are refused.
	Invalid string
}

// Provider is an extension provider of MeshConfig: an external authorizer.
type Provider struct {
	Name string
	// GRPC or HTTP external authorization.
	GRPC bool
	// Service hostname and port; Namespace tells services of one hostname apart,
	// empty for the one that the caller sees.
	Namespace string
	Host      Hostname
	Port      uint16
	// TimeoutMillis of one question; 0 for 600 s, as Istio has it.
	TimeoutMillis int64
	FailOpen      bool
	StatusOnError uint32
	PathPrefix    string
	// Headers that an HTTP authorizer is sent, that reach the upstream when it
	// allows, and that reach the client when it denies or allows. A "*" at an end is a wildcard.
	IncludeRequestHeaders           []string
	IncludeAdditionalRequestHeaders []Header
	HeadersToUpstreamOnAllow        []string
	HeadersToDownstreamOnDeny       []string
	HeadersToDownstreamOnAllow      []string
	// IncludeBody of up to MaxBytes; 0 for none.
	MaxBodyBytes     uint32
	AllowPartialBody bool
	PackBodyAsBytes  bool
	ClearRouteCache  bool
}
