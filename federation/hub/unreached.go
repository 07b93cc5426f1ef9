// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"net"
	"slices"
	"strconv"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Told is what a member's instance says of other members' gateways.
type Told struct {
	Stream    StreamID
	Unreached *federationv1.Unreached
}

func (Told) event() {}

// UnreachedGateway is a gateway of a member that others don't reach.
type UnreachedGateway struct {
	// Address and port, as host:port.
	Address string
	// From are the members that don't reach it, sorted.
	From []string
}

// tell takes what an instance says instead of what it said. Only gateways count
// that the hub itself gives out; so a member says nothing but their names.
func (s *State) tell(e Told) {
	st := s.streams[e.Stream]
	if st == nil {
		return
	}
	was := st.unreached
	st.unreached = map[string][]model.GatewayAddress{}
	for _, u := range e.Unreached.GetGateways() {
		m := s.members[u.GetMember()]
		if m == nil || m == st.member {
			continue
		}
		for _, g := range m.Gateways {
			if g.Address == u.GetGateway().GetAddress() && uint32(g.Port) == u.GetGateway().GetPort() && !slices.Contains(st.unreached[m.Name], g) {
				st.unreached[m.Name] = append(st.unreached[m.Name], g)
			}
		}
	}
	s.reportUnreached(was, st.unreached)
}

// reportUnreached tells whose gateways are seen otherwise than before.
func (s *State) reportUnreached(was, now map[string][]model.GatewayAddress) {
	for name := range was {
		if !slices.Equal(was[name], now[name]) {
			s.report(name)
		}
	}
	for name := range now {
		if _, before := was[name]; !before {
			s.report(name)
		}
	}
}

// unreachedOf a member are the gateways that it still has and that others don't
// reach, in its own order.
func (s *State) unreachedOf(m *member) []UnreachedGateway {
	var out []UnreachedGateway
	for _, g := range m.Gateways {
		u := UnreachedGateway{Address: net.JoinHostPort(g.Address, strconv.Itoa(int(g.Port)))}
		for st := range s.others(m.Name) {
			if slices.Contains(st.unreached[m.Name], g) {
				u.From = append(u.From, st.member.Name)
			}
		}
		slices.Sort(u.From)
		u.From = slices.Compact(u.From)
		if len(u.From) > 0 {
			out = append(out, u)
		}
	}
	return out
}
