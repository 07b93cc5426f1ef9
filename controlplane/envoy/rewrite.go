// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"fmt"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// RewriteListener is a listener's resource after a change, which says whether it changed
// anything. It is r itself when nothing changed, when it is no listener, and for an internal
// one, whose connections were seen where they came in.
func RewriteListener(r *Resource, change func(*listenerv3.Listener) (bool, error)) (*Resource, error) {
	m, err := r.Message()
	if err != nil {
		return nil, err
	}
	l, ok := m.(*listenerv3.Listener)
	if !ok || l.GetInternalListener() != nil {
		return r, nil
	}
	changed, err := change(l)
	if err != nil {
		return nil, fmt.Errorf("listener %q: %w", r.Name, err)
	}
	if !changed {
		return r, nil
	}
	return NewResource(r.Name, l)
}
