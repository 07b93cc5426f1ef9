// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// Ingress walks a call that comes to a port of an ingress or egress gateway, at the
// address Call.Bind, if any.
func Ingress(v *envoy.View, port uint16, c Call) Result {
	w := walk{view: v, call: c, result: Result{call: c}}
	return w.end(w.ingress(port))
}

func (w *walk) ingress(port uint16) error {
	layers := w.view.Types[envoy.ListenerType]
	for _, r := range slices.Concat(layers.Shared.Resources(), layers.Own.Resources()) {
		l, err := get[*listenerv3.Listener](w.view, envoy.ListenerType, r.Name)
		if err != nil {
			return err
		}
		at := l.GetAddress().GetSocketAddress()
		if l.GetUdpListenerConfig() == nil && at.GetPortValue() == uint32(port) && (w.call.Bind == "" || at.GetAddress() == w.call.Bind) {
			return w.through(l)
		}
	}
	return fmt.Errorf("nobody listens on port %d", port)
}
