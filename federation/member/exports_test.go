// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"testing"
	"time"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/wire"
)

func offers(n int, ready uint32) []*model.Export {
	var out []*model.Export
	for i := range n {
		out = append(out, &model.Export{
			Namespace: "shop", Name: fmt.Sprintf("s%04d", i), CreatedUnix: 1,
			Ports: []model.ExportPort{{Number: 80, Zones: []model.ZoneCount{{Ready: ready}}}},
		})
	}
	return out
}

// TestNotKnownIsNotEmpty: before the control plane has read its cluster the
// hub is told nothing, not that there is nothing.
func TestNotKnownIsNotEmpty(t *testing.T) {
	var x exports
	x.welcome([]*federationv1.HeldService{{Key: &federationv1.ServiceKey{Namespace: "shop", Name: "a"}}})
	if u := x.next(); u != nil {
		t.Fatalf("sent %v before anything was known", u)
	}
	x.set(nil)
	if u := x.next(); u == nil || len(u.GetRemoved()) != 1 || !u.GetComplete() {
		t.Errorf("sent %v, want the removal of what the hub holds, and complete", u)
	}
	if x.next() != nil {
		t.Error("there is more to send")
	}
}

// TestWindow: while the hub does not answer, no more than the window is sent,
// and what changes meanwhile is sent once, in its newest state.
func TestWindow(t *testing.T) {
	var x exports
	x.set(offers(3, 1))
	x.welcome(nil)
	sent := 0
	for ready := uint32(2); ready < 20; ready++ {
		if x.next() != nil {
			sent++
		}
		x.set(offers(3, ready))
	}
	if sent != window {
		t.Errorf("%d updates were sent without an answer, want %d", sent, window)
	}
	if x.acknowledge(window + 1) {
		t.Error("an answer to what was never sent was taken")
	}
	if !x.acknowledge(window) {
		t.Error("the answer was not taken")
	}
	u := x.next()
	if len(u.GetUpdated()) != 3 || u.GetUpdated()[0].GetPorts()[0].GetZones()[0].GetReady() != 19 || x.next() != nil {
		t.Errorf("sent %v, want each service once, in its newest state", u)
	}
	x.set(offers(3, 20))
	x.set(offers(3, 19))
	if u := x.next(); u != nil {
		t.Errorf("sent %v for a change that was taken back", u)
	}
}

// TestChunks: much is sent in parts, of which only the last says complete.
func TestChunks(t *testing.T) {
	var x exports
	x.set(offers(20_000, 1))
	x.welcome(nil)
	services, messages := 0, uint64(0)
	for u := x.next(); u != nil; u = x.next() {
		services += len(u.GetUpdated())
		messages++
		if u.GetComplete() != (services == 20_000) {
			t.Fatalf("complete is %t after %d services", u.GetComplete(), services)
		}
		x.acknowledge(messages)
	}
	if services != 20_000 || messages < 2 {
		t.Errorf("%d services in %d messages", services, messages)
	}
}

// TestOwnFaults: an export that the hub would refuse is not sent; what it was
// before stays, and the reason is known here.
func TestOwnFaults(t *testing.T) {
	var x exports
	x.set(offers(1, 1))
	x.welcome(nil)
	x.next()
	x.set(offers(1, wire.MaxReady+1))
	if u := x.next(); u != nil {
		t.Errorf("sent %v", u)
	}
	if r := x.allRefused(); len(r) != 1 || r[0].Reason != wire.ReasonTooLarge {
		t.Errorf("refused %v, want one as too large", r)
	}
	x.set(nil)
	if u := x.next(); len(u.GetRemoved()) != 1 || len(x.allRefused()) != 0 {
		t.Errorf("sent %v, refused %v, want it withdrawn", u, x.allRefused())
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{min: time.Second, max: 8 * time.Second, random: func() float64 { return 1 }}
	for i, want := range []time.Duration{1, 2, 4, 8, 8} {
		if got := b.next(); got != want*time.Second {
			t.Errorf("attempt %d waits %s, want %s", i, got, want*time.Second)
		}
	}
	b.reset()
	b.random = func() float64 { return 0 }
	if got := b.next(); got != 500*time.Millisecond {
		t.Errorf("waits %s after a reset, want half a second at least", got)
	}
}
