// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"net/netip"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// TestPatience: a connection on which HTTP is looked for may stay silent for as long
// as it likes, as those of clients' pools do: what it says later is still told by its
// host, and does not leave the mesh past all rules. A mesh that says how long waits that
// long, and goes on without a verdict.
func TestPatience(t *testing.T) {
	service := func(protocol model.Protocol) *model.Service {
		return &model.Service{
			Hostname: "a.b.svc.cluster.local", Name: "a", Namespace: "b",
			Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.1")}, Ports: []model.Port{{Number: 60, Protocol: protocol}},
		}
	}
	byAddress := func(s *model.Settings, protocol model.Protocol) ([]*envoy.Resource, error) {
		out, _, err := sidecar.Call{Settings: s, Service: service(protocol)}.AddressListeners(0)
		return out, err
	}
	one := func(r *envoy.Resource, err error) ([]*envoy.Resource, error) { return []*envoy.Resource{r}, err }
	workload := &model.Workload{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	for name, c := range map[string]struct {
		make func(*model.Settings) ([]*envoy.Resource, error)
		// without and with a timeout of two seconds; -1 for no inspector at all.
		without, with time.Duration
	}{
		"SharedPort": {func(s *model.Settings) ([]*envoy.Resource, error) {
			return one(sidecar.PortListener(s, 9080, false, sidecar.SharedPort{HTTP: true}))
		}, 0, 2 * time.Second},
		"SniffedByAddress": {func(s *model.Settings) ([]*envoy.Resource, error) { return byAddress(s, model.Auto) }, 0, 2 * time.Second},
		"TCPByAddress":     {func(s *model.Settings) ([]*envoy.Resource, error) { return byAddress(s, model.TCP) }, -1, -1},
		"Inbound": {func(s *model.Settings) ([]*envoy.Resource, error) {
			return sidecar.Intake{Settings: s, Workload: workload}.Listeners(&policy.Chosen{})
		}, 0, 2 * time.Second},
		"Outbound": {func(s *model.Settings) ([]*envoy.Resource, error) { return one(sidecar.VirtualOutbound(s, false, nil)) }, -1, -1},
		"UnknownHostsByName": {func(s *model.Settings) ([]*envoy.Resource, error) {
			byName := *s
			byName.OutboundByName = true
			return one(sidecar.VirtualOutbound(&byName, false, nil))
		}, 5 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			for millis, want := range map[int64]time.Duration{0: c.without, 2000: c.with} {
				made, err := c.make(&model.Settings{DetectionMillis: millis})
				if err != nil || len(made) != 1 {
					t.Fatalf("%d listeners, %v", len(made), err)
				}
				m, err := made[0].Message()
				l, ok := m.(*listenerv3.Listener)
				if err != nil || !ok {
					t.Fatalf("%T, %v", m, err)
				}
				timeout := l.GetListenerFiltersTimeout()
				switch {
				case want < 0:
					if len(l.GetListenerFilters()) > 0 {
						t.Errorf("it waits for %v", l.GetListenerFilters())
					}
				// Nothing said is Envoy's default, which is a timeout too.
				case timeout == nil || timeout.AsDuration() != want || l.GetContinueOnListenerFiltersTimeout() != (want > 0):
					t.Errorf("with %d ms its inspectors give up after %v and go on without: %t; want %v", millis, timeout.AsDuration(), l.GetContinueOnListenerFiltersTimeout(), want)
				}
			}
		})
	}
}
