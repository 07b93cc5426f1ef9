// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bytes"
	"maps"
	"slices"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// stream is one instance of a member's control plane: what it says it exports,
// and what it still lacks of its imports.
type stream struct {
	id     StreamID
	member *member
	serial string

	// view is what this instance exports. It starts as what the hub held.
	view map[wire.Key]*federationv1.Service
	// bytes of the view.
	bytes int
	// complete: the instance has answered Welcome in full.
	complete bool
	// malformed services that it sent and that were refused as they are.
	malformed map[wire.Key]Refusal

	// welcome, acked and refusals are answers that are due.
	welcome     *federationv1.Welcome
	received    uint64 // the newest nonce that came
	acked       uint64 // the newest that was answered
	refusalsDue bool
	// unreached are other members' gateways that it doesn't reach, by member.
	unreached map[string][]model.GatewayAddress

	imports
}

// imports is what a stream lacks, and how far it is.
type imports struct {
	// lacksMembers: their info must be sent; true means that what the importer
	// holds of it is of another epoch, or of a member that is gone.
	lacksMembers map[string]bool
	// lacks holds services, by exporter, of which the newest state must be sent.
	lacks map[string]map[wire.Key]struct{}
	// unverified is what the importer holds, by hash, of exporters that have not
	// told their exports since the hub started: kept until they do.
	unverified map[string]map[wire.Key][]byte
	sent       uint64 // nonce of the newest import update
	answered   uint64 // the newest that the member acknowledged
	// caughtUpAt is the nonce of the update that completed the first round; 0 before.
	caughtUpAt uint64
	// held and refused are what the member last said it holds and refuses.
	held    int
	refused []Refusal
}

// caughtUp is true when the importer has acknowledged all that there was when it joined.
func (i *imports) caughtUp() bool { return i.caughtUpAt > 0 && i.answered >= i.caughtUpAt }

// Unanswered is how many import updates the stream has not acknowledged, and
// the newest that it has: while the first stays above zero and the second does
// not move, the member is stalled.
func (s *State) Unanswered(id StreamID) (count, answered uint64) {
	st := s.streams[id]
	if st == nil {
		return 0, 0
	}
	return st.sent - st.answered, st.answered
}

func (s *State) join(e Joined) {
	m := s.members[e.Member]
	switch {
	case m == nil:
		s.outputs = append(s.outputs, Close{e.Stream, CloseUnknown})
		return
	case !slices.Contains(m.Intermediates, e.Serial):
		s.outputs = append(s.outputs, Close{e.Stream, CloseCertificate})
		return
	case len(m.instances) >= s.limits.Instances:
		s.outputs = append(s.outputs, Close{e.Stream, CloseInstances})
		return
	}
	st := &stream{
		id: e.Stream, member: m, serial: e.Serial,
		view:      maps.Clone(m.exports),
		malformed: map[wire.Key]Refusal{},
		welcome:   &federationv1.Welcome{Member: m.Name, TakesUnreached: true},
		imports: imports{
			lacksMembers: map[string]bool{},
			lacks:        map[string]map[wire.Key]struct{}{},
			unverified:   map[string]map[wire.Key][]byte{},
		},
	}
	for _, k := range keys(m.exports) {
		svc := m.exports[k]
		st.bytes += size(svc)
		st.welcome.Held = append(st.welcome.Held, &federationv1.HeldService{Key: k.Message(), Hash: svc.GetHash()})
	}
	st.refusalsDue = len(m.refused) > 0
	s.streams[st.id] = st
	m.instances = append(m.instances, st)
	m.lastError = ""
	s.compare(st, e.Hello)
	s.wake(st)
	s.report(m.Name)
}

// compare finds what the importer lacks, by the hashes of what it says it holds.
func (s *State) compare(st *stream, hello *federationv1.Hello) {
	held := make(map[string]*federationv1.HeldMember, len(hello.GetHeld()))
	for _, h := range hello.GetHeld() {
		held[h.GetMember()] = h
		if s.members[h.GetMember()] == nil || h.GetMember() == st.member.Name {
			st.lacksMembers[h.GetMember()] = true
		}
	}
	for name, m := range s.members {
		if name == st.member.Name {
			continue
		}
		h := held[name]
		if h != nil && h.GetEpoch() != m.UID {
			st.lacksMembers[name] = true
			h = nil
		} else if !bytes.Equal(h.GetHash(), m.info.GetHash()) {
			st.lacksMembers[name] = false
		}
		s.compareServices(st, m, h)
	}
}

func (s *State) compareServices(st *stream, m *member, held *federationv1.HeldMember) {
	has := make(map[wire.Key][]byte, len(held.GetServices()))
	for _, h := range held.GetServices() {
		has[wire.KeyOf(h.GetKey())] = h.GetHash()
	}
	for k, r := range m.relayed {
		if h, ok := has[k]; !ok || !bytes.Equal(h, r.to(m, st.member).GetHash()) {
			st.lack(m.Name, k)
			delete(has, k)
		} else if m.exporting {
			delete(has, k)
		}
	}
	for k := range has {
		// Of an exporter that is silent only what may not be exported goes.
		if m.exporting || !m.Exports.Allow(m.Name, k.Namespace) {
			st.lack(m.Name, k)
			delete(has, k)
		}
	}
	if len(has) > 0 {
		st.unverified[m.Name] = has
	}
}

func (i *imports) lack(exporter string, k wire.Key) {
	if i.lacks[exporter] == nil {
		i.lacks[exporter] = map[wire.Key]struct{}{}
	}
	i.lacks[exporter][k] = struct{}{}
}

// forget drops what is due of an exporter that is gone.
func (i *imports) forget(exporter string) {
	delete(i.lacks, exporter)
	delete(i.unverified, exporter)
	i.lacksMembers[exporter] = true
}

func (s *State) leave(st *stream, reason string) {
	m := st.member
	delete(s.streams, st.id)
	s.reportUnreached(st.unreached, nil)
	m.instances = slices.DeleteFunc(m.instances, func(o *stream) bool { return o == st })
	if len(m.instances) == 0 {
		m.lastError = reason
	}
	// What this instance changed last may be what the others never saw change:
	// the one that is there for longest says what holds.
	for _, o := range m.instances {
		if o.complete {
			s.adopt(m, o.view)
			break
		}
	}
	s.report(m.Name)
}

func (s *State) close(st *stream, reason CloseReason) {
	s.leave(st, string(reason))
	s.outputs = append(s.outputs, Close{st.id, reason})
}

func (s *State) acknowledge(e Acknowledged) {
	st := s.streams[e.Stream]
	if st == nil {
		return
	}
	nonce := e.Ack.GetNonce()
	if nonce > st.sent {
		s.close(st, CloseProtocol)
		return
	}
	if nonce <= st.answered {
		return
	}
	before := st.caughtUp()
	st.answered = nonce
	refused := s.importerRefusals(e.Ack.GetRefused())
	if st.held != int(e.Ack.GetServices()) || before != st.caughtUp() || !slices.Equal(refused, st.imports.refused) {
		s.report(st.member.Name)
	}
	st.held, st.imports.refused = int(e.Ack.GetServices()), refused
	s.wake(st)
}
