// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// A connection to a port with HTTP may stay silent for as long as it likes, as
// those of clients' pools do: what it says later is still told by its host, and
// does not leave the mesh past all rules.
func TestSilentConnectionIsStillHTTP(t *testing.T) {
	r, err := sidecar.PortListener(&model.Settings{}, 9080, false, sidecar.SharedPort{HTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	l, ok := m.(*listenerv3.Listener)
	if !ok {
		t.Fatalf("%T is no listener", m)
	}
	// Nothing said is Envoy's default, which is a timeout too.
	if timeout := l.GetListenerFiltersTimeout(); timeout == nil || timeout.AsDuration() != 0 || l.GetContinueOnListenerFiltersTimeout() {
		t.Errorf("its inspectors give up after %v and go on without: %t", timeout.AsDuration(), l.GetContinueOnListenerFiltersTimeout())
	}
}
