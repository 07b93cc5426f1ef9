// SPDX-License-Identifier: Apache-2.0

package hub_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/member"
)

// TestPath: an export of one member is an import of another, and a change costs
// one message to the hub and one to each importer, and their acknowledgements.
func TestPath(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	// Both are there before either connects, so that nobody is told of the other later.
	inEast, inWest := f.enrol("east", nil), f.enrol("west", nil)
	east, west := inEast.run(nil), inWest.run(nil)
	east.SetExports(exports(3, 2))
	west.SetExports(nil)
	eventually(t, "west holds 3 services", func() bool { return west.count() == 3 })
	eventually(t, "both are synced", func() bool { return east.State().Synced && west.State().Synced })
	if e := west.holds("east", "shop", "svc-0000"); len(e.Ports[0].Endpoints) != 0 {
		t.Errorf("pod addresses crossed networks: %v", e.Ports[0].Endpoints)
	}
	eventually(t, "the hub sees both synced", func() bool {
		e, w := f.server.Status(hub.Ref{Federation: f.name, Member: "east"}), f.server.Status(hub.Ref{Federation: f.name, Member: "west"})
		return e.Synced && e.Exported == 3 && w.Synced && w.Imported == 3 && w.Connected == 1
	})

	before := west.imports.Load()
	in, out := f.traffic.in.Load(), f.traffic.out.Load()
	changed := exports(3, 2)
	changed[1].Ports[0].Zones[0].Ready = 7
	east.SetExports(changed)
	eventually(t, "the change arrives", func() bool { return ready(west.holds("east", "shop", "svc-0001")) == 7 })
	eventually(t, "all is acknowledged", func() bool {
		return f.traffic.in.Load()-in == 2 && f.traffic.out.Load()-out == 2
	})
	if got := f.traffic.in.Load() + f.traffic.out.Load() - in - out; got != 4 {
		t.Errorf("one change took %d messages, want 4: the update and its acknowledgement, twice", got)
	}
	after := west.imports.Load()
	if before.Members[0].Services[0] != after.Members[0].Services[0] {
		t.Error("a service that did not change is another value now")
	}
	east.SetExports(changed[1:])
	eventually(t, "the withdrawn service is gone", func() bool { return west.holds("east", "shop", "svc-0000") == nil && west.count() == 2 })
}

// TestReconnectSendsNothing: the connections are cut, both come back, and no
// service travels in either direction.
func TestReconnectSendsNothing(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	east, west := f.enrol("east", nil).run(nil), f.enrol("west", nil).run(nil)
	east.SetExports(exports(500, 2))
	west.SetExports(exports(500, 3))
	synced := func() bool {
		return east.State().Synced && west.State().Synced && east.count() == 500 && west.count() == 500
	}
	eventually(t, "both hold all", synced)
	was := [2]time.Time{east.State().Connected, west.State().Connected}
	servicesIn, servicesOut := f.traffic.servicesIn.Load(), f.traffic.servicesOut.Load()
	f.conns.cut()
	eventually(t, "both are back", func() bool {
		e, w := east.State(), west.State()
		return e.Connected.After(was[0]) && w.Connected.After(was[1]) && synced()
	})
	if in, out := f.traffic.servicesIn.Load()-servicesIn, f.traffic.servicesOut.Load()-servicesOut; in != 0 || out != 0 {
		t.Errorf("a reconnect sent %d services to the hub and %d back, want none", in, out)
	}
}

// TestHubRestart: a new hub process knows nothing. East stays away: west keeps
// what it has of it, and when east is back nothing had to be sent down again.
func TestHubRestart(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	cluster := f.enrol("east", nil)
	east, west := cluster.run(nil), f.enrol("west", nil).run(nil)
	east.SetExports(exports(20, 2))
	west.SetExports(exports(5, 2))
	eventually(t, "west holds 20 services", func() bool { return west.count() == 20 && west.State().Synced })
	east.stop()
	f.stop()
	eventually(t, "west has noticed", func() bool { return west.State().Connected.IsZero() })
	if west.count() != 20 {
		t.Fatal("west lost imports when the hub stopped")
	}
	f.start()
	eventually(t, "west is synced with the new hub", func() bool { return west.State().Synced })
	if west.count() != 20 {
		t.Fatalf("west holds %d services of a member that is only silent, want 20", west.count())
	}
	down := f.traffic.servicesOut.Load()
	back := cluster.run(nil)
	back.SetExports(exports(20, 2))
	eventually(t, "east is back", func() bool { return back.State().Synced && back.count() == 5 })
	if got := f.traffic.servicesOut.Load() - down; got != 5 {
		t.Errorf("%d services were sent down, want only the 5 that the new east lacks", got)
	}
}

// TestStalledMember: a member that never reads delays nobody, and its stream
// is closed in the end.
func TestStalledMember(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{SendTimeout: 2 * time.Second})
	east, west, south := f.enrol("east", nil).run(nil), f.enrol("west", nil).run(nil), f.enrol("south", nil)
	west.SetExports(nil)
	stream, _ := south.raw(south.istiod())
	if err := stream.Send(&federationv1.MemberMessage{Message: &federationv1.MemberMessage_Hello{Hello: &federationv1.Hello{}}}); err != nil {
		t.Fatal(err)
	}
	ref := hub.Ref{Federation: f.name, Member: "south"}
	eventually(t, "south is connected", func() bool { return f.server.Status(ref).Connected == 1 })
	for i := range uint32(50) {
		east.SetExports(exports(200, i+1)) // far more than a connection buffers
		eventually(t, "west has the change", func() bool { return ready(west.holds("east", "shop", "svc-0199")) == i+1 })
	}
	eventually(t, "the stalled stream is closed", func() bool {
		s := f.server.Status(ref)
		return s.Connected == 0 && strings.Contains(s.LastError, "not acknowledged")
	})
}

// TestBothFlood: both ends of every stream have much to send at once. Were
// sending and receiving one loop, two full buffers would stop them for good.
func TestBothFlood(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	east, west := f.enrol("east", nil).run(nil), f.enrol("west", nil).run(nil)
	const rounds, services = 30, 600
	done := make(chan struct{}, 2)
	for _, c := range []*client{east, west} {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range uint32(rounds) {
				c.SetExports(exports(services, i+1))
			}
		}()
	}
	<-done
	<-done
	for _, c := range []*client{east, west} {
		eventually(t, "the last round has arrived everywhere", func() bool {
			other := map[*client]string{east: "west", west: "east"}[c]
			return c.count() == services && ready(c.holds(other, "shop", "svc-0000")) == rounds && ready(c.holds(other, "shop", "svc-0599")) == rounds
		})
	}
}

// TestRawFlood: a member that sends without ever reading is slowed down and
// bounded, and the others go on.
func TestRawFlood(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{SendTimeout: 5 * time.Second})
	east, west, south := f.enrol("east", nil).run(nil), f.enrol("west", nil).run(nil), f.enrol("south", nil)
	west.SetExports(exports(100, 1))
	stream, _ := south.raw(south.istiod())
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		err := stream.Send(&federationv1.MemberMessage{Message: &federationv1.MemberMessage_Hello{Hello: &federationv1.Hello{}}})
		bad := &federationv1.Service{Key: &federationv1.ServiceKey{Namespace: "shop", Name: strings.Repeat("x", 10_000)}}
		for n := uint64(1); err == nil; n++ {
			err = stream.Send(&federationv1.MemberMessage{Message: &federationv1.MemberMessage_Exports{Exports: &federationv1.ExportUpdate{
				Nonce: n, Updated: []*federationv1.Service{bad},
			}}})
		}
	}()
	for i := range uint32(50) {
		east.SetExports(exports(10, i+1))
		eventually(t, "west has the change", func() bool { return ready(west.holds("east", "shop", "svc-0009")) == i+1 })
	}
	f.apply(func(all []hub.Member) []hub.Member { return all[:2] }) // south is deleted
	<-flooded
	if west.holds("south", "shop", "x") != nil {
		t.Error("west imported something of the flood")
	}
}

// TestStore: a control plane that starts while there is no hub has the imports
// of its last run, and once the hub is back it is sent nothing that it has.
func TestStore(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	east, cluster := f.enrol("east", nil).run(nil), f.enrol("west", nil)
	store := &memoryStore{}
	west := cluster.run(func(o *member.Options) { o.Store = store })
	east.SetExports(exports(20, 2))
	west.SetExports(nil)
	eventually(t, "west holds 20 services", func() bool { return west.count() == 20 && west.State().Synced })
	west.stop()
	f.stop()
	again := cluster.run(func(o *member.Options) { o.Store = store })
	again.SetExports(nil)
	if again.count() != 20 {
		t.Fatalf("after a restart without a hub west holds %d services, want 20", again.count())
	}
	sent := f.traffic.servicesOut.Load()
	f.start()
	eventually(t, "west is synced again", func() bool { return again.State().Synced && again.count() == 20 })
	if got := f.traffic.servicesOut.Load() - sent; got != 0 {
		t.Errorf("%d services were sent to a member that had them", got)
	}
}

// TestReplicas: exports of any replica, imports to all of them.
func TestReplicas(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	cluster := f.enrol("east", nil)
	a, b, west := cluster.run(nil), cluster.run(nil), f.enrol("west", nil).run(nil)
	west.SetExports(exports(3, 1))
	a.SetExports(exports(4, 1))
	b.SetExports(exports(4, 1))
	eventually(t, "all hold all", func() bool { return a.count() == 3 && b.count() == 3 && west.count() == 4 })
	a.stop()
	b.SetExports(exports(5, 1))
	eventually(t, "the other replica goes on", func() bool { return west.count() == 5 })
}

// TestRefusals reach the exporter, and the hub's status.
func TestRefusals(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	east := f.enrol("east", func(m *hub.Member) { m.Exports = hub.ExportRules{{Namespaces: []string{"bank"}}} }).run(nil)
	east.SetExports(exports(1, 1))
	eventually(t, "east is told", func() bool {
		r := east.refused.Load()
		return r != nil && len(*r) == 1 && (*r)[0].Reason == "NamespaceNotAllowed"
	})
	if s := f.server.Status(hub.Ref{Federation: f.name, Member: "east"}); len(s.Refused) != 1 || s.Exported != 0 {
		t.Errorf("status %+v, want one refusal and no export", s)
	}
	f.apply(func(all []hub.Member) []hub.Member { all[0].Exports = nil; return all })
	eventually(t, "the refusal is taken back", func() bool { return len(*east.refused.Load()) == 0 })
	eventually(t, "the export counts", func() bool { return f.server.FederationStatus(f.name).ExportedServices == 1 })
}

// TestChanged: the controllers hear of what they show in conditions.
func TestChanged(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	ref := hub.Ref{Federation: f.name, Member: "east"}
	east := f.enrol("east", nil).run(nil)
	await := func(what string, ok func(hub.Status) bool) {
		t.Helper()
		deadline := time.After(90 * time.Second)
		for !ok(f.server.Status(ref)) {
			select {
			case <-f.server.Changed():
			case <-deadline:
				t.Fatalf("nobody said that %s", what)
			}
		}
	}
	east.SetExports(exports(2, 1))
	await("east is synced", func(s hub.Status) bool { return s.Synced && s.Exported == 2 })
	east.stop()
	await("east is gone", func(s hub.Status) bool { return s.Connected == 0 && s.LastError != "" })
}

// TestBeforeMembers: a hub whose controllers have not read the members yet
// sends everybody away, and takes nothing from anybody.
func TestBeforeMembers(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	cluster := f.enrol("east", nil)
	f.stop()
	f.server = hub.New(f.options)
	f.server.SetFederations([]hub.Federation{f.federation()})
	f.listen()
	c := federationv1.NewFederationClient(dial(t, f.address, f.serverName, nil, f.root.Bundle()))
	if _, err := c.Enroll(t.Context(), &federationv1.EnrollRequest{Member: "east"}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	east := cluster.run(nil)
	eventually(t, "east was sent away", func() bool { return east.State().LastError != "" })
	f.apply(nil)
	east.SetExports(nil)
	eventually(t, "east is synced", func() bool { return east.State().Synced })
}

func TestMemberDeleted(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	east, west := f.enrol("east", nil).run(nil), f.enrol("west", nil).run(nil)
	east.SetExports(exports(2, 1))
	eventually(t, "west imports", func() bool { return west.count() == 2 })
	f.apply(func(all []hub.Member) []hub.Member { return all[1:] })
	eventually(t, "east is gone from west", func() bool { return len(west.imports.Load().Members) == 0 })
	eventually(t, "east knows", func() bool { return east.State().LastError != "" && east.State().Connected.IsZero() })
}

// TestNear: members of one network get each other's pods.
func TestNear(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	flat := func(m *hub.Member) { m.Network = "flat" }
	east, west := f.enrol("east", flat).run(nil), f.enrol("west", flat).run(nil)
	east.SetExports(exports(1, 1))
	eventually(t, "west has the pod", func() bool {
		e := west.holds("east", "shop", "svc-0000")
		return e != nil && len(e.Ports[0].Endpoints) == 1 && e.Ports[0].Endpoints[0] == model.ExportEndpoint{Address: "10.0.0.1", Port: 8080, MTLS: true}
	})
}
