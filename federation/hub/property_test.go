// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/wire"
	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
)

// TestConverges: whatever happened, in whatever order, once everybody is there
// and listens, every importer holds exactly what it would hold had nothing but
// the end happened.
func TestConverges(t *testing.T) {
	// Faults that need three things to meet are rare in the 30 steps of the default.
	if err := flag.Set("rapid.steps", "120"); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(Limits{Window: 2})
		members := []string{"east", "south", "west"}
		for _, m := range members {
			s.must(t, "member "+m)
			s.join(m+"/a", m, false)
		}
		t.Repeat(map[string]func(*rapid.T){
			"member": func(t *rapid.T) {
				name := rapid.SampledFrom(members).Draw(t, "member")
				m, ok := s.table[name]
				if !ok {
					m = Member{Federation: "mesh/shop", Name: name, TrustDomain: name + ".shop.example", Intermediates: []string{name}}
					m.UID = fmt.Sprint(s.nextID) // another cluster under the old name
				}
				m.Network = model.NetworkID(rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "network"))
				m.Cordoned = rapid.Bool().Draw(t, "cordoned")
				s.table[name] = m
				s.setMembers()
			},
			"delete": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
					t.Skip()
				}
				delete(s.table, rapid.SampledFrom(members).Draw(t, "member"))
				s.setMembers()
			},
			"rules": func(t *rapid.T) {
				s.must(t, "rules "+rapid.SampledFrom([]string{"", ":shop", "east:bank :shop", ":*"}).Draw(t, "rules"))
			},
			"join": func(t *rapid.T) {
				member := rapid.SampledFrom(members).Draw(t, "member")
				name := member + "/" + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "instance")
				if s.instances[name] == nil {
					s.join(name, member, rapid.Bool().Draw(t, "mute"))
				}
			},
			"leave": func(t *rapid.T) {
				if in := s.anyone(t); in != nil {
					s.leave(in.name)
				}
			},
			"stall":  func(t *rapid.T) { s.stall(t, true) },
			"resume": func(t *rapid.T) { s.stall(t, false) },
			"speak": func(t *rapid.T) { // a mute instance answers at last
				if in := s.anyone(t); in != nil && in.mute {
					in.mute, in.welcomed = false, true
					s.announce(in, true)
				}
			},
			"export": func(t *rapid.T) {
				s.export(rapid.SampledFrom(members).Draw(t, "member"), drawService(t))
			},
			"withdraw": func(t *rapid.T) {
				s.withdraw(rapid.SampledFrom(members).Draw(t, "member"), drawKey(t))
			},
			"restart": func(*rapid.T) { s.restart() },
		})
		s.settle()
		want := newSim(Limits{})
		want.table = s.table
		want.setMembers()
		for name, c := range s.clusters {
			maps.Copy(want.cluster(name).exports, c.exports)
		}
		want.settle()
		if d := cmp.Diff(want.holdings(), s.holdings()); d != "" {
			t.Fatalf("-had only the end happened +what is held:\n%s\n%s", d, strings.Join(s.log, "\n"))
		}
	})
}

func (s *sim) must(t *rapid.T, command string) {
	if err := s.run(command); err != nil {
		t.Fatal(err)
	}
}

func (s *sim) anyone(t *rapid.T) *simInstance {
	all := s.sorted()
	if len(all) == 0 {
		return nil
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(t, "who")]
}

func (s *sim) stall(t *rapid.T, on bool) {
	if in := s.anyone(t); in != nil {
		in.stalled = on
		s.answer(in)
		s.drain()
	}
}

// settle lets everybody join, listen and speak.
func (s *sim) settle() {
	for _, name := range names(s.table) {
		if s.instances[name+"/a"] == nil {
			s.join(name+"/a", name, false)
		}
	}
	for _, in := range s.sorted() {
		in.stalled = false
		s.answer(in)
		if in.mute {
			in.mute, in.welcomed = false, true
			s.announce(in, true)
		}
	}
	s.drain()
}

// holdings of the first instance of each member, and of the others, which must be the same.
func (s *sim) holdings() map[string][]string {
	out := map[string][]string{}
	for _, in := range s.sorted() {
		var lines []string
		for _, m := range names(in.imports.members) {
			lines = append(lines, describeMember(in.imports.members[m])+" epoch="+in.imports.members[m].GetEpoch())
			for _, k := range keys(in.imports.services[m]) {
				lines = append(lines, "  "+describeService(in.imports.services[m][k]))
			}
		}
		if was, ok := out[in.member]; ok && !slices.Equal(was, lines) {
			lines = append([]string{"instances differ"}, lines...)
		}
		out[in.member] = lines
	}
	return out
}

func drawKey(t *rapid.T) wire.Key {
	return parseKey(rapid.SampledFrom([]string{"shop/a", "shop/b", "bank/a"}).Draw(t, "key"))
}

func drawService(t *rapid.T) *federationv1.Service {
	svc := &federationv1.Service{
		Key:         drawKey(t).Message(),
		CreatedUnix: int64(rapid.IntRange(1, 3).Draw(t, "created")),
		Kind:        federationv1.Service_Kind(rapid.IntRange(0, 1).Draw(t, "kind")),
	}
	for n := range rapid.IntRange(0, 2).Draw(t, "ports") {
		p := &federationv1.Port{
			Number: uint32(80 + n + rapid.IntRange(0, 1).Draw(t, "shift")*2), Name: fmt.Sprint("p", n),
			Protocol: federationv1.Port_Protocol(rapid.IntRange(1, 2).Draw(t, "protocol")),
			Zones:    []*federationv1.Zone{{Ready: uint32(rapid.IntRange(0, 2).Draw(t, "ready"))}},
		}
		if rapid.Bool().Draw(t, "endpoint") {
			p.Endpoints = []*federationv1.Endpoint{{Address: fmt.Sprint("10.0.0.", rapid.IntRange(1, 2).Draw(t, "address")), Port: 8080}}
		}
		if len(svc.Ports) == 0 || p.Number > svc.Ports[len(svc.Ports)-1].Number {
			svc.Ports = append(svc.Ports, p)
		}
	}
	return svc
}
