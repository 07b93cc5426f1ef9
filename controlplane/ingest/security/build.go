// SPDX-License-Identifier: Apache-2.0

package security

import (
	"slices"
	"time"

	security "istio.io/client-go/pkg/apis/security/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is what policies are made of. Nothing in it is modified.
type Input struct {
	AuthorizationPolicies  []*security.AuthorizationPolicy
	RequestAuthentications []*security.RequestAuthentication
	// JWKS are the key sets that package jwks fetched, by the address in Output.Wanted.
	JWKS map[string]string
	// JWKSFailures say why an address has no key set, or still an old one.
	JWKSFailures map[string]string
	Settings     *model.Settings
}

// Output is the policies, oldest first, and what is wrong with them.
type Output struct {
	Authorizations  []*model.Authorization
	Authentications []*model.RequestAuthentication
	// Wanted are the key sets to fetch, sorted by address, one per address.
	Wanted   []Wanted
	Problems []model.Problem

	in Input
}

// Wanted is a key set that a rule names by its address.
type Wanted struct {
	// URI of a JWKS document, or of an OpenID configuration that names one.
	URI string
	// Timeout of one attempt; 0 for the fetcher's own.
	Timeout time.Duration
}

// Build makes the policies of a mesh. Prev is the last output, or nil; it
// decides which pointers are shared, never what the output says.
func Build(in Input, prev *Output) *Output {
	if prev != nil && keep.Same(prev.in, in) {
		return prev
	}
	if prev == nil {
		prev = &Output{}
	}
	if in.Settings == nil {
		in.Settings = &model.Settings{}
	}
	out := &Output{in: in}
	for _, o := range in.AuthorizationPolicies {
		r := reader{origin: originOf(kindAuthorization, o), settings: in.Settings}
		out.Authorizations = append(out.Authorizations, r.authorization(o))
		out.Problems = append(out.Problems, r.problems...)
	}
	for _, o := range in.RequestAuthentications {
		r := reader{origin: originOf(kindAuthentication, o), settings: in.Settings}
		policy, wanted := r.authentication(o, in)
		out.Authentications = append(out.Authentications, policy)
		out.Wanted = append(out.Wanted, wanted...)
		out.Problems = append(out.Problems, r.problems...)
	}
	slices.SortFunc(out.Authorizations, func(a, b *model.Authorization) int { return a.Older(b.Origin) })
	slices.SortFunc(out.Authentications, func(a, b *model.RequestAuthentication) int { return a.Older(b.Origin) })
	out.Authorizations = keep.Share(prev.Authorizations, out.Authorizations)
	out.Authentications = keep.Share(prev.Authentications, out.Authentications)
	out.Wanted = keep.Slice(prev.Wanted, once(out.Wanted))
	out.Problems = keep.Slice(prev.Problems, out.Problems)
	return out
}

// once sorts by address; of two that want the same the more patient one stays.
func once(wanted []Wanted) []Wanted {
	slices.SortFunc(wanted, func(a, b Wanted) int {
		if a.URI != b.URI {
			if a.URI < b.URI {
				return -1
			}
			return 1
		}
		return int(b.Timeout - a.Timeout)
	})
	return slices.CompactFunc(wanted, func(a, b Wanted) bool { return a.URI == b.URI })
}
