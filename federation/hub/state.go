// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"cmp"
	"maps"
	"slices"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// Limits bound what one member can make the hub hold. A zero field takes the
// value of DefaultLimits.
type Limits struct {
	// Services that a member may export, and their Bytes in all.
	Services, Bytes int
	// Instances of one member's control plane that may be connected.
	Instances int
	// Window is how many import updates may be unanswered; what changes
	// meanwhile waits and coalesces.
	Window int
	// Refusals of malformed services that are remembered for one stream.
	Refusals int
}

// DefaultLimits are far above what a big cluster exports.
var DefaultLimits = Limits{Services: 5000, Bytes: 32 << 20, Instances: 16, Window: 4, Refusals: 100}

func (l Limits) orDefault() Limits {
	return Limits{
		Services:  cmp.Or(l.Services, DefaultLimits.Services),
		Bytes:     cmp.Or(l.Bytes, DefaultLimits.Bytes),
		Instances: cmp.Or(l.Instances, DefaultLimits.Instances),
		Window:    cmp.Or(l.Window, DefaultLimits.Window),
		Refusals:  cmp.Or(l.Refusals, DefaultLimits.Refusals),
	}
}

// State is all that the hub knows of one federation. It is the pure core: it
// has no clock, lock or I/O, and equal events in equal order give equal
// outputs. It is not for concurrent use.
//
// Step takes what happened and says which streams to look at; Next then gives
// what a stream must be sent. Between the two lies the coalescing: a stream
// has a set of keys that it lacks, and Next reads their newest value.
type State struct {
	limits  Limits
	members map[string]*member
	streams map[StreamID]*stream
	// exporters of each key, allowed or not: who takes part in its conflicts.
	exporters map[wire.Key]map[string]bool

	outputs []Output
	woken   map[StreamID]bool
	changed map[string]bool
}

// member is one member and what it exports.
type member struct {
	Member
	info *federationv1.Member
	// exporting: some instance has told the whole of its exports. Until then
	// nothing that importers hold is known to be gone.
	exporting bool
	// exports as the member sent them, and relayed as others get them, after
	// rules and conflicts.
	exports map[wire.Key]*federationv1.Service
	relayed map[wire.Key]relay
	// refused for what is not in the service itself: rules and conflicts.
	refused   map[wire.Key]Refusal
	instances []*stream // in the order they joined
	lastError string
}

// relay is a service as importers get it: near for members of the same
// network, far, without endpoints, for the others.
type relay struct{ near, far *federationv1.Service }

// NewState is a federation without members.
func NewState(l Limits) *State {
	return &State{
		limits:    l.orDefault(),
		members:   map[string]*member{},
		streams:   map[StreamID]*stream{},
		exporters: map[wire.Key]map[string]bool{},
	}
}

// Step takes an event in and returns what follows, in a fixed order.
func (s *State) Step(e Event) []Output {
	s.outputs, s.woken, s.changed = nil, map[StreamID]bool{}, map[string]bool{}
	switch e := e.(type) {
	case MembersSet:
		s.setMembers(e.Members)
	case Joined:
		s.join(e)
	case Exported:
		s.export(e)
	case Acknowledged:
		s.acknowledge(e)
	case Told:
		s.tell(e)
	case Left:
		if st := s.streams[e.Stream]; st != nil {
			s.leave(st, e.Reason)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.woken)) {
		if s.streams[id] != nil {
			s.outputs = append(s.outputs, Wake{id})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.changed)) {
		s.outputs = append(s.outputs, Changed{name})
	}
	return s.outputs
}

func (s *State) wake(st *stream)      { s.woken[st.id] = true }
func (s *State) report(member string) { s.changed[member] = true }

// others are the streams of all members but this one.
func (s *State) others(name string) func(func(*stream) bool) {
	return func(yield func(*stream) bool) {
		for _, st := range s.streams {
			if st.member.Name != name && !yield(st) {
				return
			}
		}
	}
}

// near is true when two members reach each other's pods.
func near(a, b *member) bool { return a.Network == b.Network && a.Network != "" }

// to picks the variant of a service for an importer; nil when it is not relayed.
func (r relay) to(exporter, importer *member) *federationv1.Service {
	if near(exporter, importer) {
		return r.near
	}
	return r.far
}
