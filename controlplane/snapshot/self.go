// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// withoutSelf are the listeners that a pod's class sees, less those at addresses
// where the pod itself listens (Istio's Sidecar, ingress captureMode NONE). Envoy takes one
// listener of an address, and a headless service's pods are called at theirs: all
// others call the pod there, and its own calls to itself are answered by itself.
func (s *Snapshot) withoutSelf(w *model.Workload, shared, own *envoy.Layer) *envoy.Layer {
	var held []string
	for _, r := range own.Resources() {
		at, ok := strings.CutPrefix(r.Name, sidecar.InboundAt)
		if !ok {
			continue
		}
		for _, name := range everyFamily(w, at) {
			if shared.Get(name) != nil {
				held = append(held, name)
			}
		}
	}
	if len(held) == 0 {
		return shared
	}
	type layers struct{ shared, own *envoy.Layer }
	if known, ok := s.selves.Load(layers{shared, own}); ok {
		return known.(*envoy.Layer) //nolint:forcetypeassert // nothing else is stored
	}
	rest := slices.DeleteFunc(slices.Clone(shared.Resources()), func(r *envoy.Resource) bool { return slices.Contains(held, r.Name) })
	made, _ := envoy.NewLayer(rest)
	known, _ := s.selves.LoadOrStore(layers{shared, own}, made)
	return known.(*envoy.Layer) //nolint:forcetypeassert // nothing else is stored
}

// everyFamily of a pod's addresses that a listener at one of them has; the names
// are those of listeners for captured calls.
func everyFamily(w *model.Workload, at string) []string {
	address, port, ok := strings.Cut(at, "_")
	a, err := netip.ParseAddr(address)
	number, bad := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || bad != nil || w == nil || !slices.Contains(w.Addresses, a) {
		return []string{at}
	}
	var out []string
	for _, a := range w.Addresses {
		out = append(out, envoy.AddressListener(a, uint16(number)))
	}
	return out
}
