// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

func size(s *federationv1.Service) int { return proto.Size(s) }

// export takes a change in: first into the view of the instance that sent it,
// then into what the member exports. Of several instances the latest change
// wins; they all look at one cluster and end at the same view.
func (s *State) export(e Exported) {
	st := s.streams[e.Stream]
	if st == nil {
		return
	}
	m := st.member
	for _, svc := range e.Update.GetUpdated() {
		k := wire.KeyOf(svc.GetKey())
		if f := s.admit(st, k, svc); f != nil {
			s.malformed(st, k, f)
			continue
		}
		s.forgive(st, k)
		s.put(m, k, svc)
	}
	for _, key := range e.Update.GetRemoved() {
		k := wire.KeyOf(key)
		s.forgive(st, k)
		if old := st.view[k]; old != nil {
			st.bytes -= size(old)
			delete(st.view, k)
		}
		s.drop(m, k)
	}
	if e.Update.GetComplete() && !st.complete {
		s.completed(st)
	}
	st.received = max(st.received, e.Update.GetNonce())
	s.wake(st)
}

// admit puts a well-formed service into the instance's view.
func (s *State) admit(st *stream, k wire.Key, svc *federationv1.Service) *wire.Fault {
	if f := wire.CheckService(svc); f != nil {
		return f
	}
	wire.DropUnknown(svc)
	old := st.view[k]
	grown := st.bytes + size(svc)
	if old != nil {
		grown -= size(old)
	} else if len(st.view) >= s.limits.Services {
		return tooMany(s.limits.Services)
	}
	if grown > s.limits.Bytes && grown > st.bytes {
		return tooMuch(s.limits.Bytes)
	}
	st.view[k], st.bytes = svc, grown
	return nil
}

// completed: the instance's view is all that the member exports, unless another
// instance said so before, whose changes count as well.
func (s *State) completed(st *stream) {
	st.complete = true
	m := st.member
	alone := true
	for _, o := range m.instances {
		alone = alone && (o == st || !o.complete)
	}
	if alone {
		s.adopt(m, st.view)
	}
	if !m.exporting {
		m.exporting = true
		s.verify(m)
		s.report("")
	}
	s.report(m.Name)
}

// verify: now that all exports of m are known, what importers hold beyond them is gone.
func (s *State) verify(m *member) {
	for st := range s.others(m.Name) {
		for k := range st.unverified[m.Name] {
			if _, ok := m.relayed[k]; !ok {
				st.lack(m.Name, k)
				s.wake(st)
			}
		}
		delete(st.unverified, m.Name)
	}
}

// adopt makes a view the member's exports.
func (s *State) adopt(m *member, view map[wire.Key]*federationv1.Service) {
	for _, k := range keys(m.exports) {
		if view[k] == nil {
			s.drop(m, k)
		}
	}
	for _, k := range keys(view) {
		s.put(m, k, view[k])
	}
}

func (s *State) put(m *member, k wire.Key, svc *federationv1.Service) {
	if old := m.exports[k]; old == svc || old != nil && bytes.Equal(old.GetHash(), svc.GetHash()) && proto.Equal(old, svc) {
		return
	}
	m.exports[k] = svc
	if s.exporters[k] == nil {
		s.exporters[k] = map[string]bool{}
	}
	s.exporters[k][m.Name] = true
	s.resolve(k)
}

// drop withdraws a key, also when only importers know of it, from before the hub started.
func (s *State) drop(m *member, k wire.Key) {
	delete(m.exports, k)
	if delete(s.exporters[k], m.Name); len(s.exporters[k]) == 0 {
		delete(s.exporters, k)
	}
	s.relayNothing(m, k, nil)
	s.resolve(k) // a younger export may win now
}

func tooMany(n int) *wire.Fault {
	return &wire.Fault{Reason: wire.ReasonTooLarge, Message: fmt.Sprintf(
		"the member exports more than the %d services that the hub takes from one: withdraw some", n)}
}

func tooMuch(n int) *wire.Fault {
	return &wire.Fault{Reason: wire.ReasonTooLarge, Message: fmt.Sprintf(
		"the member's exports take more than the %d bytes that the hub takes from one: withdraw some", n)}
}
