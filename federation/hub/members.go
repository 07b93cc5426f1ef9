// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bytes"
	"maps"
	"slices"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// setMembers takes the complete list: who is missing in it was deleted, which
// is one of the three things that take an import away.
func (s *State) setMembers(list []Member) {
	wanted := make(map[string]Member, len(list))
	for _, m := range list {
		wanted[m.Name] = m
	}
	for _, name := range names(s.members) {
		if w, ok := wanted[name]; !ok || w.UID != s.members[name].UID {
			s.removeMember(s.members[name])
		}
	}
	for _, name := range names(wanted) {
		if m := s.members[name]; m == nil {
			s.addMember(wanted[name])
		} else {
			s.changeMember(m, wanted[name])
		}
	}
}

func (s *State) addMember(w Member) {
	m := &member{
		Member:  w,
		info:    info(w),
		exports: map[wire.Key]*federationv1.Service{},
		relayed: map[wire.Key]relay{},
		refused: map[wire.Key]Refusal{},
	}
	s.members[w.Name] = m
	for st := range s.others(w.Name) {
		if _, due := st.lacksMembers[w.Name]; !due {
			st.lacksMembers[w.Name] = false
		}
		s.wake(st)
	}
	s.report(w.Name)
	s.report("")
}

func (s *State) removeMember(m *member) {
	for _, st := range slices.Clone(m.instances) {
		s.close(st, CloseUnknown)
	}
	delete(s.members, m.Name)
	for _, st := range s.streams {
		st.forget(m.Name)
		s.wake(st)
	}
	for _, k := range keys(m.exports) {
		delete(s.exporters[k], m.Name)
		s.resolve(k) // a younger export may win now
	}
	s.report(m.Name)
	s.report("")
}

func (s *State) changeMember(m *member, w Member) {
	was := m.Member
	m.Member = w
	for _, st := range slices.Clone(m.instances) {
		if !slices.Contains(w.Intermediates, st.serial) {
			s.close(st, CloseCertificate)
		}
	}
	if i := info(w); !bytes.Equal(i.Hash, m.info.Hash) {
		m.info = i
		for st := range s.others(m.Name) {
			if _, due := st.lacksMembers[m.Name]; !due {
				st.lacksMembers[m.Name] = false
			}
			s.wake(st)
		}
		s.report(m.Name)
	}
	if was.Network != w.Network {
		s.renetwork(m, was)
	}
	if !slices.EqualFunc(was.Exports, w.Exports, ExportRule.equal) {
		s.enforce(m)
	}
}

// renetwork sends again, each in its other variant, what goes between m and
// the members that its move made near or far.
func (s *State) renetwork(m *member, was Member) {
	old := &member{Member: was}
	for st := range s.others(m.Name) {
		if near(old, st.member) != near(m, st.member) {
			s.resend(st, m)
		}
	}
	for _, st := range m.instances {
		for _, o := range s.members {
			if o != m && near(old, o) != near(m, o) {
				s.resend(st, o)
			}
		}
	}
}

func (s *State) resend(st *stream, exporter *member) {
	for k, r := range exporter.relayed {
		if r.near != r.far {
			st.lack(exporter.Name, k)
		}
	}
	s.wake(st)
}

// enforce applies new export rules, also to what importers hold of a member
// that has not told its exports yet.
func (s *State) enforce(m *member) {
	for _, k := range keys(m.exports) {
		s.resolve(k)
	}
	for st := range s.others(m.Name) {
		for k := range st.unverified[m.Name] {
			if !m.Exports.Allow(m.Name, k.Namespace) {
				delete(st.unverified[m.Name], k)
				st.lack(m.Name, k)
				s.wake(st)
			}
		}
	}
}

func (r ExportRule) equal(o ExportRule) bool {
	return slices.Equal(r.Members, o.Members) && slices.Equal(r.Namespaces, o.Namespaces)
}

// info is what others are told of a member.
func info(m Member) *federationv1.Member {
	i := &federationv1.Member{
		Name:        m.Name,
		Network:     string(m.Network),
		TrustDomain: m.TrustDomain,
		Locality:    wire.FromLocality(m.Locality),
		Cordoned:    m.Cordoned,
		Epoch:       m.UID,
	}
	for _, g := range m.Gateways {
		i.Gateways = append(i.Gateways, &federationv1.Gateway{Address: g.Address, Port: uint32(g.Port)})
	}
	wire.SetMemberHash(i)
	return i
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func keys[V any](m map[wire.Key]V) []wire.Key {
	return slices.SortedFunc(maps.Keys(m), wire.Key.Compare)
}
