// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// imports are what other members export, arranged by service.
type imports struct {
	given    *model.Imports
	settings *settings
	// unreached are the gateways that don't answer.
	unreached []model.RemoteGateway
	members   []*member
	// groups sorted by key.
	groups []*group
	// exhausted are the groups that got no address.
	exhausted []model.Problem
	problems  []model.Problem
	// remotes are the members on other networks.
	remotes []*model.Remote
}

// member is another member, checked. Its pointer is the same as long as what
// the hub says of it is.
type member struct {
	model.ImportedMember
	// unreached are those of Gateways that don't answer.
	unreached []model.GatewayAddress
	problems  []model.Problem
}

// group is everything that is imported under one namespace and name.
type group struct {
	key
	// exports, the oldest first.
	exports []offer
	// address is the VIP for when no Service object has one.
	address netip.Addr
}

// offer is one member's export of a service.
type offer struct {
	member *member
	export *model.Export
}

// nextImports arranges given, of whose gateways some are unreached. What says the
// same as in prev keeps its pointers.
func nextImports(given *model.Imports, unreached []model.RemoteGateway, s *settings, prev *imports) *imports {
	if prev != nil && prev.given == given && prev.settings == s && slices.Equal(prev.unreached, unreached) {
		return prev
	}
	next := &imports{given: given, settings: s, unreached: unreached}
	byKey := map[key]*group{}
	members := sortedMembers(given)
	for i, m := range members {
		checked, usable := checkMember(m, s)
		if usable && i > 0 && members[i-1].Cluster == m.Cluster {
			checked.reject("cluster", "the member is there twice; the first one is used")
			usable = false
		}
		if usable {
			checked.unreached = unreachedOf(checked, unreached)
			checked = next.share(checked, prev)
			next.collect(checked, m.Services, byKey)
		}
		next.problems = append(next.problems, checked.problems...)
	}
	for _, g := range byKey {
		slices.SortFunc(g.exports, compareOffers)
		next.groups = append(next.groups, g)
	}
	slices.SortFunc(next.groups, func(a, b *group) int { return a.key.compare(b.key) })
	if prev == nil || !slices.EqualFunc(prev.groups, next.groups, sameAge) {
		next.exhausted = allocate(next.groups)
	} else {
		next.exhausted = prev.exhausted
		for i, g := range next.groups {
			g.address = prev.groups[i].address
		}
	}
	next.problems = append(next.problems, next.exhausted...)
	next.shareGroups(prev)
	next.remotes = next.findRemotes(prev)
	return next
}

// compareOffers puts the oldest first.
func compareOffers(a, b offer) int {
	return cmp.Or(cmp.Compare(a.export.CreatedUnix, b.export.CreatedUnix), strings.Compare(string(a.member.Cluster), string(b.member.Cluster)))
}

// sameAge is true when two groups have the same claim to an address.
func sameAge(a, b *group) bool {
	return a.key == b.key && a.exports[0].export.CreatedUnix == b.exports[0].export.CreatedUnix
}

func sortedMembers(given *model.Imports) []model.ImportedMember {
	if given == nil {
		return nil
	}
	members := slices.Clone(given.Members)
	slices.SortStableFunc(members, func(a, b model.ImportedMember) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return members
}

// collect adds a member's services to the groups.
func (i *imports) collect(m *member, services []*model.Export, byKey map[key]*group) {
	for _, e := range services {
		if e == nil {
			continue
		}
		k := key{e.Namespace, e.Name}
		if !isLabel(k.namespace) || !isLabel(k.name) {
			i.problems = append(i.problems, problemOf(kindMeshMember, key{name: string(m.Cluster)}, "services", Rejected,
				"%q is no service's namespace and name; the member's export is left out", k))
			continue
		}
		g := byKey[k]
		if g == nil {
			g = &group{key: k}
			byKey[k] = g
		}
		if n := len(g.exports); n > 0 && g.exports[n-1].member == m {
			i.problems = append(i.problems, problemOf(kindServiceImport, k, m.field("services"), Rejected,
				"the member exports the service twice; the first one is used"))
			continue
		}
		g.exports = append(g.exports, offer{m, e})
	}
}

// share returns prev's member when it says the same of the member itself.
func (i *imports) share(m *member, prev *imports) *member {
	if prev != nil {
		for _, old := range prev.members {
			if reflect.DeepEqual(old, m) {
				m = old
				break
			}
		}
	}
	i.members = append(i.members, m)
	return m
}

// shareGroups puts prev's group where it says the same.
func (i *imports) shareGroups(prev *imports) {
	if prev == nil {
		return
	}
	for n, g := range i.groups {
		if old, ok := findGroup(prev.groups, g.key); ok && old.address == g.address && slices.Equal(old.exports, g.exports) {
			i.groups[n] = old
		}
	}
}

func findGroup(groups []*group, k key) (*group, bool) {
	i, ok := slices.BinarySearchFunc(groups, k, func(g *group, k key) int { return g.key.compare(k) })
	if !ok {
		return nil, false
	}
	return groups[i], true
}

// checkMember looks at what is said of a member; false when nothing of it can be used.
func checkMember(m model.ImportedMember, s *settings) (*member, bool) {
	out := &member{ImportedMember: m}
	out.Services, out.Gateways = nil, nil
	domain, err := spiffeid.TrustDomainFromString(m.TrustDomain)
	switch {
	case m.Cluster == "" || m.Cluster == s.Cluster:
		out.reject("cluster", "cluster ID %q is not that of another member; nothing is imported from it", m.Cluster)
		return out, false
	case err != nil || domain.Name() != m.TrustDomain:
		out.reject("trustDomain", "%q is no trust domain; nothing is imported from the member", m.TrustDomain)
		return out, false
	}
	for i, g := range m.Gateways {
		address, why := gatewayAddress(g, s.DomainSuffix)
		if why != "" {
			out.reject(fmt.Sprintf("gateways[%d]", i), "gateway %q port %d is left out: %s", g.Address, g.Port, why)
			continue
		}
		out.Gateways = append(out.Gateways, model.GatewayAddress{Address: address, Port: g.Port})
	}
	slices.SortFunc(out.Gateways, func(a, b model.GatewayAddress) int {
		return cmp.Or(strings.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
	})
	out.Gateways = slices.Compact(out.Gateways)
	return out, true
}

func (m *member) reject(field, format string, args ...any) {
	m.problems = append(m.problems, problemOf(kindMeshMember, key{name: string(m.Cluster)}, field, Rejected, format, args...))
}

// field names a part of what a member says in a Problem.
func (m *member) field(path string) string { return fmt.Sprintf("members[%s].%s", m.Cluster, path) }
