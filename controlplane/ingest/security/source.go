// SPDX-License-Identifier: Apache-2.0

package security

import (
	"net/netip"
	"slices"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Limits of serviceAccounts, as Istio's CRD has them.
const (
	maxServiceAccounts      = 16
	maxServiceAccountLength = 320
)

func (r *reader) source(field string, s *securityapi.Source) model.Source {
	out := model.Source{
		Principals:        r.list(field, "principals", s.GetPrincipals(), s.GetNotPrincipals(), r.spiffe),
		RequestPrincipals: r.list(field, "requestPrincipals", s.GetRequestPrincipals(), s.GetNotRequestPrincipals(), nil),
		Namespaces:        r.list(field, "namespaces", s.GetNamespaces(), s.GetNotNamespaces(), nil),
		ServiceAccounts:   r.list(field, "serviceAccounts", s.GetServiceAccounts(), s.GetNotServiceAccounts(), r.serviceAccount),
		TrustDomains:      r.list(field, "trustDomains", s.GetTrustDomains(), s.GetNotTrustDomains(), r.trustDomain),
		IPBlocks:          r.list(field, "ipBlocks", s.GetIpBlocks(), s.GetNotIpBlocks(), r.ipBlock),
		RemoteIPBlocks:    r.list(field, "remoteIpBlocks", s.GetRemoteIpBlocks(), s.GetNotRemoteIpBlocks(), r.ipBlock),
	}
	out.Principals = named(out.Principals)
	out.ServiceAccounts = r.qualified(out.ServiceAccounts)
	if allEmpty(out.Principals, out.RequestPrincipals, out.Namespaces, out.ServiceAccounts, out.TrustDomains, out.IPBlocks, out.RemoteIPBlocks) {
		r.refuse(field, "a source that asks nothing is not allowed; name what it must be, or leave out from for any source")
	}
	if !out.ServiceAccounts.Empty() && !allEmpty(out.Principals, out.Namespaces) {
		r.refuse(field+".serviceAccounts", "serviceAccounts exclude principals and namespaces; use one of them")
	}
	if len(out.ServiceAccounts.In) > maxServiceAccounts || len(out.ServiceAccounts.NotIn) > maxServiceAccounts {
		r.refuse(field+".serviceAccounts", "there may be %d of them at most; split the source", maxServiceAccounts)
	}
	return out
}

func allEmpty(all ...model.Values) bool {
	return !slices.ContainsFunc(all, func(v model.Values) bool { return !v.Empty() })
}

// spiffe prefixes are not part of a principal. What is meant is plain, so it is
// taken, and told.
func (r *reader) spiffe(field, value string) {
	if strings.HasPrefix(value, "spiffe://") {
		r.tell(field, invalid, "principals are written without spiffe://, and it is taken so; write %q", strings.TrimPrefix(value, "spiffe://"))
	}
}

func named(v model.Values) model.Values {
	for _, list := range [][]string{v.In, v.NotIn} {
		for i := range list {
			list[i] = strings.TrimPrefix(list[i], "spiffe://")
		}
	}
	return v
}

func (r *reader) serviceAccount(field, value string) {
	switch {
	case strings.Contains(value, "*"):
		r.refuse(field, "%q: service accounts have no wildcards; use principals for that", value)
	case strings.Count(value, "/") > 1 || strings.HasPrefix(value, "/") || strings.HasSuffix(value, "/"):
		r.refuse(field, "%q is neither <namespace>/<name> nor <name>; correct it", value)
	case len(value) > maxServiceAccountLength:
		r.refuse(field, "a service account has %d characters at most; correct it", maxServiceAccountLength)
	}
}

// trustDomain is a name, whole or its beginning or end.
func (r *reader) trustDomain(field, value string) {
	name := strings.TrimSuffix(strings.TrimPrefix(value, "*"), "*")
	both := strings.HasPrefix(value, "*") && strings.HasSuffix(value, "*") && value != "*"
	if strings.ContainsAny(name, "*/") || both {
		r.refuse(field, "%.100q is no trust domain; write its name, with * only at its beginning or at its end", value)
	}
}

// qualified gives bare names the policy's namespace.
func (r *reader) qualified(v model.Values) model.Values {
	for _, list := range [][]string{v.In, v.NotIn} {
		for i, name := range list {
			if !strings.Contains(name, "/") {
				list[i] = r.origin.Namespace + "/" + name
			}
		}
	}
	return v
}

func (r *reader) ipBlock(field, value string) {
	if _, err := netip.ParseAddr(value); err == nil && !strings.Contains(value, "%") {
		return
	}
	if _, err := netip.ParsePrefix(value); err != nil {
		r.refuse(field, "%q is neither an address nor a block; write it as 203.0.113.4 or 203.0.113.0/24", value)
	}
}
