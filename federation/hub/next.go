// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// Next returns what the stream must be sent now; nil when there is nothing, or
// when the member must first answer what it was sent. Services in it are shared
// between streams and must not be changed.
func (s *State) Next(id StreamID) *federationv1.HubMessage {
	st := s.streams[id]
	switch {
	case st == nil:
		return nil
	case st.welcome != nil:
		w := st.welcome
		st.welcome = nil
		return &federationv1.HubMessage{Message: &federationv1.HubMessage_Welcome{Welcome: w}}
	case st.acked < st.received:
		st.acked = st.received
		return &federationv1.HubMessage{Message: &federationv1.HubMessage_ExportAck{ExportAck: &federationv1.Ack{Nonce: st.acked}}}
	case st.refusalsDue:
		st.refusalsDue = false
		return &federationv1.HubMessage{Message: &federationv1.HubMessage_Refusals{Refusals: s.refusalsFor(st)}}
	case st.sent-st.answered >= uint64(s.limits.Window):
		return nil
	}
	u := s.nextImports(st)
	if u == nil {
		return nil
	}
	return &federationv1.HubMessage{Message: &federationv1.HubMessage_Imports{Imports: u}}
}

// nextImports builds one update of what the stream lacks, up to the chunk's size.
func (s *State) nextImports(st *stream) *federationv1.ImportUpdate {
	if len(st.lacksMembers) == 0 && len(st.lacks) == 0 && st.caughtUpAt > 0 {
		return nil
	}
	u := &federationv1.ImportUpdate{}
	room := wire.ChunkBytes
	for _, name := range names(st.lacksMembers) {
		m := s.members[name]
		if m == nil || m == st.member || st.lacksMembers[name] {
			u.RemovedMembers = append(u.RemovedMembers, name)
		}
		if m != nil && m != st.member {
			u.Members = append(u.Members, m.info)
			room -= proto.Size(m.info)
		}
		delete(st.lacksMembers, name)
	}
	for _, name := range names(st.lacks) {
		if room <= 0 {
			break
		}
		services := s.nextServices(st, name, &room)
		u.Services = append(u.Services, services)
		if len(st.lacks[name]) == 0 {
			delete(st.lacks, name)
		}
	}
	if len(st.lacks) == 0 && st.caughtUpAt == 0 {
		st.caughtUpAt = st.sent + 1
		u.Complete = true
	}
	st.sent++
	u.Nonce = st.sent
	return u
}

func (s *State) nextServices(st *stream, exporter string, room *int) *federationv1.MemberServices {
	out := &federationv1.MemberServices{Member: exporter}
	m := s.members[exporter]
	for _, k := range keys(st.lacks[exporter]) {
		if *room <= 0 {
			break
		}
		delete(st.lacks[exporter], k)
		if svc := m.relayed[k].to(m, st.member); svc != nil {
			out.Updated = append(out.Updated, svc)
			*room -= proto.Size(svc)
		} else {
			key := k.Message()
			out.Removed = append(out.Removed, key)
			*room -= proto.Size(key)
		}
	}
	return out
}
