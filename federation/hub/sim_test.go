// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// sim is a hub's core with simulated members around it: each instance answers
// Welcome as a control plane does, keeps what it is sent, and acknowledges it.
type sim struct {
	state     *State
	limits    Limits
	table     map[string]Member
	clusters  map[string]*simCluster
	instances map[string]*simInstance // connected, by "member/instance"
	memory    map[string]*simImports  // of disconnected ones, as their store keeps it
	nextID    StreamID
	log       []string
	// changed are the members whose Status the last event made another one.
	changed []string
	// sent counts services that the hub sent, over all streams.
	sent int
}

// simCluster is what a member wants to export.
type simCluster struct {
	exports map[wire.Key]*federationv1.Service
}

type simInstance struct {
	name, member string
	id           StreamID
	imports      *simImports
	view         map[wire.Key][]byte // what the hub holds of it, by hash
	welcomed     bool
	// mute instances don't answer Welcome, stalled ones don't acknowledge.
	mute, stalled bool
	unanswered    []uint64
	nonce         uint64
}

type simImports struct {
	members  map[string]*federationv1.Member
	services map[string]map[wire.Key]*federationv1.Service
	complete bool
}

func newSim(l Limits) *sim {
	s := &sim{
		limits: l, table: map[string]Member{}, clusters: map[string]*simCluster{},
		instances: map[string]*simInstance{}, memory: map[string]*simImports{},
	}
	s.state = NewState(l)
	return s
}

func (s *sim) logf(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

func (s *sim) step(e Event) {
	s.changed = nil
	for _, o := range s.state.Step(e) {
		if c, ok := o.(Changed); ok {
			s.changed = append(s.changed, c.Member)
		}
		c, ok := o.(Close)
		if !ok {
			continue
		}
		for _, in := range s.sorted() {
			if in.id == c.Stream {
				s.logf("%s closed: %s", in.name, c.Reason)
				s.gone(in)
			}
		}
	}
	s.drain()
}

func (s *sim) sorted() []*simInstance {
	return slices.SortedFunc(maps.Values(s.instances), func(a, b *simInstance) int { return strings.Compare(a.name, b.name) })
}

func (s *sim) gone(in *simInstance) {
	delete(s.instances, in.name)
	s.memory[in.name] = in.imports
}

// drain gives every instance what the hub has for it, until all is quiet.
func (s *sim) drain() {
	for again := true; again; {
		again = false
		for _, in := range s.sorted() {
			for m := s.state.Next(in.id); m != nil; m = s.state.Next(in.id) {
				again = true
				s.receive(in, m)
			}
		}
	}
}

func (s *sim) receive(in *simInstance, m *federationv1.HubMessage) {
	switch m := m.GetMessage().(type) {
	case *federationv1.HubMessage_Welcome:
		in.view = map[wire.Key][]byte{}
		for _, h := range m.Welcome.GetHeld() {
			in.view[wire.KeyOf(h.GetKey())] = h.GetHash()
		}
		s.logf("%s <- welcome, the hub holds %d", in.name, len(in.view))
		if !in.mute {
			in.welcomed = true
			s.announce(in, true)
		}
	case *federationv1.HubMessage_ExportAck:
	case *federationv1.HubMessage_Refusals:
		var lines []string
		for _, r := range m.Refusals.GetRefused() {
			lines = append(lines, fmt.Sprintf("%s/%s %s", r.GetKey().GetNamespace(), r.GetKey().GetName(), r.GetReason()))
		}
		s.logf("%s <- refused: %s", in.name, cmp.Or(strings.Join(lines, ", "), "nothing"))
	case *federationv1.HubMessage_Imports:
		s.take(in, m.Imports)
	}
}

func (s *sim) take(in *simInstance, u *federationv1.ImportUpdate) {
	var parts []string
	for _, n := range u.GetRemovedMembers() {
		parts = append(parts, "-member "+n)
		delete(in.imports.members, n)
		delete(in.imports.services, n)
	}
	for _, m := range u.GetMembers() {
		parts = append(parts, "member "+describeMember(m))
		in.imports.members[m.GetName()] = m
	}
	for _, ms := range u.GetServices() {
		if in.imports.services[ms.GetMember()] == nil {
			in.imports.services[ms.GetMember()] = map[wire.Key]*federationv1.Service{}
		}
		for _, svc := range ms.GetUpdated() {
			s.sent++
			in.imports.services[ms.GetMember()][wire.KeyOf(svc.GetKey())] = svc
			parts = append(parts, "+"+ms.GetMember()+":"+describeService(svc))
		}
		for _, k := range ms.GetRemoved() {
			delete(in.imports.services[ms.GetMember()], wire.KeyOf(k))
			parts = append(parts, "-"+ms.GetMember()+":"+wire.KeyOf(k).String())
		}
	}
	if u.GetComplete() {
		in.imports.complete = true
		parts = append(parts, "complete")
	}
	s.logf("%s <- %s", in.name, strings.Join(parts, ", "))
	in.unanswered = append(in.unanswered, u.GetNonce())
	s.answer(in)
}

func (s *sim) answer(in *simInstance) {
	if in.stalled {
		return
	}
	for _, nonce := range in.unanswered {
		count := 0
		for _, services := range in.imports.services {
			count += len(services)
		}
		s.state.Step(Acknowledged{in.id, &federationv1.Ack{Nonce: nonce, Services: uint32(count)}})
	}
	in.unanswered = nil
}

// announce sends what the hub lacks of what the member exports.
func (s *sim) announce(in *simInstance, complete bool) {
	u := &federationv1.ExportUpdate{Complete: complete}
	want := s.clusters[in.member].exports
	for _, k := range keys(want) {
		if !bytes.Equal(in.view[k], want[k].GetHash()) {
			in.view[k] = want[k].GetHash()
			u.Updated = append(u.Updated, proto.Clone(want[k]).(*federationv1.Service))
		}
	}
	for _, k := range keys(in.view) {
		if want[k] == nil {
			delete(in.view, k)
			u.Removed = append(u.Removed, k.Message())
		}
	}
	if len(u.Updated)+len(u.Removed) > 0 || complete {
		s.logf("%s -> %d updated, %d removed%s", in.name, len(u.Updated), len(u.Removed), map[bool]string{true: ", complete"}[complete])
		s.send(in, u)
	}
}

func (s *sim) send(in *simInstance, u *federationv1.ExportUpdate) {
	in.nonce++
	u.Nonce = in.nonce
	s.step(Exported{in.id, u})
}

func (s *sim) setMembers() {
	s.step(MembersSet{slices.SortedFunc(maps.Values(s.table), func(a, b Member) int { return strings.Compare(a.Name, b.Name) })})
}

func (s *sim) cluster(name string) *simCluster {
	if s.clusters[name] == nil {
		s.clusters[name] = &simCluster{exports: map[wire.Key]*federationv1.Service{}}
	}
	return s.clusters[name]
}

func (s *sim) join(name, serial string, mute bool) {
	member, _, _ := strings.Cut(name, "/")
	s.nextID++
	in := &simInstance{name: name, member: member, id: s.nextID, mute: mute, imports: s.memory[name]}
	if in.imports == nil {
		in.imports = &simImports{members: map[string]*federationv1.Member{}, services: map[string]map[wire.Key]*federationv1.Service{}}
	}
	s.cluster(member)
	s.instances[name] = in
	hello := &federationv1.Hello{Instance: name}
	for _, m := range names(in.imports.members) {
		h := &federationv1.HeldMember{Member: m, Hash: in.imports.members[m].GetHash(), Epoch: in.imports.members[m].GetEpoch()}
		for _, k := range keys(in.imports.services[m]) {
			h.Services = append(h.Services, &federationv1.HeldService{Key: k.Message(), Hash: in.imports.services[m][k].GetHash()})
		}
		hello.Held = append(hello.Held, h)
	}
	s.step(Joined{Stream: in.id, Member: member, Serial: serial, Hello: hello})
}

func (s *sim) leave(name string) {
	in := s.instances[name]
	s.gone(in)
	s.step(Left{in.id, "gone"})
}

func (s *sim) restart() {
	for _, in := range s.sorted() {
		s.gone(in)
	}
	s.state = NewState(s.limits)
	s.setMembers()
}

func (s *sim) export(member string, svc *federationv1.Service) {
	wire.SetServiceHash(svc)
	s.cluster(member).exports[wire.KeyOf(svc.GetKey())] = svc
	s.announceAll(member)
}

func (s *sim) withdraw(member string, k wire.Key) {
	delete(s.cluster(member).exports, k)
	s.announceAll(member)
}

func (s *sim) announceAll(member string) {
	for _, in := range s.sorted() {
		if in.member == member && in.welcomed {
			s.announce(in, false)
		}
	}
}

func describeMember(m *federationv1.Member) string {
	out := m.GetName() + "@" + m.GetNetwork()
	for _, g := range m.GetGateways() {
		out += fmt.Sprintf(" gateway=%s:%d", g.GetAddress(), g.GetPort())
	}
	if m.GetCordoned() {
		out += " cordoned"
	}
	return out
}

func describeService(s *federationv1.Service) string {
	out := wire.KeyOf(s.GetKey()).String()
	if s.GetKind() == federationv1.Service_HEADLESS {
		out += " headless"
	}
	for _, p := range s.GetPorts() {
		out += fmt.Sprintf(" %d/%s/%s", p.GetNumber(), p.GetName(), p.GetProtocol())
		for _, z := range p.GetZones() {
			out += fmt.Sprintf(" %s:%d", z.GetLocality().GetZone(), z.GetReady())
		}
		for _, s := range p.GetSubsets() {
			out += fmt.Sprintf(" %s{%s}", s.GetName(), s.GetLabels())
			for _, z := range s.GetZones() {
				out += fmt.Sprintf(":%d", z.GetReady())
			}
		}
		for _, e := range p.GetEndpoints() {
			out += " " + e.GetAddress()
		}
	}
	return out
}
