// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestBindsAreTheirOwn: what is bound at another address has another listener, table
// of routes and listener of HTTP/3; every address is one, however it is written.
func TestBindsAreTheirOwn(t *testing.T) {
	of := func(address string) *bind {
		return attached{listener: &model.Listener{Bind: address, Protocol: model.ListenHTTPS}}.bind(443)
	}
	for _, same := range []string{"0.0.0.0", "::"} {
		if a, b := of(""), of(same); a.name() != b.name() || a.plainRoutes() != b.plainRoutes() || a.quicName() != b.quicName() {
			t.Errorf("%q is not every address: %+v, %+v", same, a, b)
		}
	}
	for _, pair := range [][2]string{{"", "127.0.0.1"}, {"127.0.0.1", "127.0.0.2"}, {"127.0.0.1", "::1"}, {"", "unix:///run/a.sock"}} {
		if a, b := of(pair[0]), of(pair[1]); a.name() == b.name() || a.plainRoutes() == b.plainRoutes() || a.quicName() == b.quicName() {
			t.Errorf("%q and %q share something: %+v, %+v", pair[0], pair[1], a, b)
		}
	}
}
