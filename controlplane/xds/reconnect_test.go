// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"testing"

	"google.golang.org/grpc"
)

// TestReconnectSendsNothing: proxies of a mesh of 1,000 services, translated as
// in a cluster, come back after a change and are sent not one byte.
func TestReconnectSendsNothing(t *testing.T) {
	tw := newTown(1000)
	s := newServer(t)
	s.Push(tw.build())
	v := openVenue(t, func(g *grpc.Server) { s.Register(g) })
	if a := v.connect(tw, 3); a.Bytes < 3<<20 {
		t.Fatalf("three proxies were sent %d bytes, which can't be all", a.Bytes)
	}
	v.order(order{Do: "change"})
	v.answer()
	tw.flip(500)
	s.Push(tw.build())
	if a := v.answer(); a.Responses != 3 {
		t.Errorf("a changed endpoint made %d responses to 3 proxies", a.Responses)
	}
	// As after a restart: everything is built again from nothing.
	tw.result, tw.shown = nil, nil
	s.Push(tw.build())

	v.order(order{Do: "reconnect"})
	v.answer()
	resumed(t, s, 3)
	v.order(order{Do: "count"})
	if a := v.answer(); a.Responses != 0 || a.Bytes != 0 {
		t.Errorf("proxies that came back were sent %d responses of %d bytes", a.Responses, a.Bytes)
	}
}
