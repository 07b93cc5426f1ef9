// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// Status of one member; the zero Status for one that is not known.
func (s *State) Status(name string) Status {
	m := s.members[name]
	if m == nil {
		return Status{}
	}
	out := Status{
		Connected: len(m.instances),
		Exporting: m.exporting,
		Exported:  len(m.relayed),
		Refused:   m.refusals(),
		LastError: m.lastError,
		Unreached: s.unreachedOf(m),
	}
	for _, st := range m.instances {
		if st.complete && st.caughtUp() {
			out.Synced = true
		}
		out.Imported = max(out.Imported, st.held)
		out.RefusedImports = append(out.RefusedImports, st.imports.refused...)
	}
	out.RefusedImports = sortedRefusals(out.RefusedImports)
	return out
}

// FederationStatus counts over all members.
func (s *State) FederationStatus() FederationStatus {
	out := FederationStatus{}
	for k, names := range s.exporters {
		for name := range names {
			if _, ok := s.members[name].relayed[k]; ok {
				out.ExportedServices++
				break
			}
		}
	}
	for _, m := range s.members {
		if m.exporting {
			out.Exporting++
		}
	}
	return out
}

// refusals are all that the hub refuses of the member's exports, sorted.
func (m *member) refusals() []Refusal {
	var out []Refusal
	for _, r := range m.refused {
		out = append(out, r)
	}
	for _, st := range m.instances {
		for _, r := range st.malformed {
			out = append(out, r)
		}
	}
	return sortedRefusals(out)
}

func sortedRefusals(in []Refusal) []Refusal {
	slices.SortFunc(in, func(a, b Refusal) int {
		return cmp.Or(strings.Compare(a.Member, b.Member), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Reason, b.Reason), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(in)
}

// refuse records, or with nil takes back, why the hub doesn't take an export in full.
func (s *State) refuse(m *member, k wire.Key, why *Refusal) {
	was, refused := m.refused[k]
	switch {
	case why == nil && !refused, why != nil && refused && was == *why:
		return
	case why == nil:
		delete(m.refused, k)
	default:
		m.refused[k] = *why
	}
	s.refusalsChanged(m)
}

// malformed records why a service can't be taken as it was sent. What was
// taken of it before stays: only an explicit withdrawal takes it away.
func (s *State) malformed(st *stream, k wire.Key, f *wire.Fault) {
	// The names are the sender's, and may be anything.
	k = wire.Key{Namespace: clip(k.Namespace, 63), Name: clip(k.Name, 63)}
	if _, known := st.malformed[k]; !known && len(st.malformed) >= s.limits.Refusals {
		return
	}
	st.malformed[k] = Refusal{Member: st.member.Name, Namespace: k.Namespace, Name: k.Name, Reason: f.Reason, Message: f.Message}
	s.refusalsChanged(st.member)
}

func (s *State) forgive(st *stream, k wire.Key) {
	if _, ok := st.malformed[k]; ok {
		delete(st.malformed, k)
		s.refusalsChanged(st.member)
	}
}

func (s *State) refusalsChanged(m *member) {
	for _, st := range m.instances {
		st.refusalsDue = true
		s.wake(st)
	}
	s.report(m.Name)
}

// refusalsFor writes them all, as far as they fit into one message.
func (s *State) refusalsFor(st *stream) *federationv1.Refusals {
	out := &federationv1.Refusals{}
	room := wire.MaxRefusalsBytes
	for _, r := range st.member.refusals() {
		m := &federationv1.Refusal{
			Key: wire.Key{Namespace: r.Namespace, Name: r.Name}.Message(), Reason: r.Reason, Message: r.Message,
		}
		if room -= proto.Size(m); room < 0 {
			break
		}
		out.Refused = append(out.Refused, m)
	}
	return out
}

// importerRefusals reads what an importer refuses: for status only, bounded and
// cleaned, because it comes from a member.
func (s *State) importerRefusals(in []*federationv1.Refusal) []Refusal {
	var out []Refusal
	for _, r := range in[:min(len(in), s.limits.Refusals)] {
		out = append(out, Refusal{
			Member: clip(r.GetMember(), 63), Namespace: clip(r.GetKey().GetNamespace(), 63), Name: clip(r.GetKey().GetName(), 63),
			Reason: clip(r.GetReason(), 63), Message: clip(r.GetMessage(), 300),
		})
	}
	return sortedRefusals(out)
}

// clip bounds a member's string and leaves nothing in it that could forge a
// line of a log or a status.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
