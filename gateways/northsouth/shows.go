// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Shows is true when a listener of a gateway, by index, is in a resource of the
// proxy, by type and name: in an Envoy listener or a route configuration. No name is
// any of the type.
func (p Proxy) Shows(g *model.Gateway, index int, typeURL, resource string) bool {
	a := attached{gateway: g, listener: &g.Listeners[index], index: index}
	if a.listener.Invalid || !p.SelectedBy(g) {
		return false
	}
	if resource == "" {
		return typeURL == envoy.ListenerType || typeURL == envoy.RouteType
	}
	return slices.ContainsFunc(p.targets(a.listener.Port), func(port uint16) bool {
		b := a.bind(port)
		switch {
		case typeURL == envoy.ListenerType:
			return resource == b.name() || a.listener.HTTP3 && resource == b.quicName()
		case typeURL != envoy.RouteType:
			return false
		case b.speech == speaksHTTP:
			return resource == b.plainRoutes()
		}
		return resource == listenerRoutes(a)
	})
}

// Where a listener of a gateway, by index, was written: the object, which may be a
// ListenerSet, and the field of it.
func Where(g *model.Gateway, index int) (model.Origin, string) {
	if parts := strings.SplitN(g.Listeners[index].Name, "/", 3); g.API && len(parts) == 3 {
		return model.Origin{Kind: "ListenerSet", Namespace: parts[0], Name: parts[1]}, fmt.Sprintf("spec.listeners[%s]", parts[2])
	}
	return g.Origin, attached{gateway: g, listener: &g.Listeners[index], index: index}.field()
}
