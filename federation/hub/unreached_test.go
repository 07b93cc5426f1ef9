// SPDX-License-Identifier: Apache-2.0

package hub_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/hub"
)

// TestUnreached: what a member says of another one's gateways is in that one's status,
// the controllers hear of it, a hub that starts anew is told again, and it goes with
// the member that said it.
func TestUnreached(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	f.enrol("east", func(m *hub.Member) {
		m.Gateways = append(m.Gateways, model.GatewayAddress{Address: "2001:db8::1", Port: 30443})
	})
	inWest, inNorth := f.enrol("west", nil), f.enrol("north", nil)
	west, north := inWest.run(nil), inNorth.run(nil)
	await := func(what string, want ...hub.UnreachedGateway) {
		t.Helper()
		deadline := time.After(90 * time.Second)
		for {
			got := f.server.Status(hub.Ref{Federation: f.name, Member: "east"}).Unreached
			d := cmp.Diff(want, got)
			if d == "" {
				return
			}
			select {
			case <-f.server.Changed():
			case <-deadline:
				t.Fatalf("nobody said that %s (-want +got):\n%s", what, d)
			}
		}
	}
	gateways := []model.RemoteGateway{
		{Cluster: "east", GatewayAddress: model.GatewayAddress{Address: "192.0.2.1", Port: 15443}},
		{Cluster: "east", GatewayAddress: model.GatewayAddress{Address: "2001:db8::1", Port: 30443}},
	}
	west.SetUnreached(gateways)
	await("west reaches neither", hub.UnreachedGateway{Address: "192.0.2.1:15443", From: []string{"west"}}, hub.UnreachedGateway{Address: "[2001:db8::1]:30443", From: []string{"west"}})
	north.SetUnreached(gateways[1:])
	west.SetUnreached(gateways[1:])
	both := hub.UnreachedGateway{Address: "[2001:db8::1]:30443", From: []string{"north", "west"}}
	await("neither of them reaches the second", both)
	f.stop()
	eventually(t, "both have noticed", func() bool { return west.State().Connected.IsZero() && north.State().Connected.IsZero() })
	f.start()
	await("it is so still", both)
	north.stop()
	await("only west says so", hub.UnreachedGateway{Address: "[2001:db8::1]:30443", From: []string{"west"}})
	west.SetUnreached(nil)
	await("all is well")
}
