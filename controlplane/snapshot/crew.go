// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"net/netip"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// crews are workloads that are alike, such as the replicas of a Deployment: what
// they take is translated once, and their sidecars share the bytes.
type crews map[crew]*lazy[inbound]

// crew tells workloads apart by all that is left of them in face.
type crew struct {
	face   string
	chosen *policy.Chosen
}

// face is what of a workload makes a difference to what it takes. The
// translation is given this and nothing else, so that a crew can't differ in
// what its key doesn't say.
func face(w *model.Workload) *model.Workload {
	out := &model.Workload{Inbound: w.Inbound, MTLS: w.MTLS, PortMTLS: w.PortMTLS, Addresses: []netip.Addr{netip.IPv4Unspecified()}}
	for _, a := range w.Addresses {
		if a.Is6() && !a.Is4In6() {
			out.Addresses = []netip.Addr{netip.IPv6Unspecified()}
			break
		}
	}
	return out
}

// join a workload to its crew. One whose Scope or limits hold for it takes
// something of its own.
func (c crews) join(w *workload, earlier inbound) {
	if w.scope != nil || w.limits != nil {
		w.own = &lazy[inbound]{earlier: earlier}
		return
	}
	w.face = face(w.in)
	key := w.crew()
	if c[key] == nil {
		c[key] = &lazy[inbound]{earlier: earlier}
	}
	w.own = c[key]
}

// stay keeps a workload that is what it was in its crew, which others may join.
func (c crews) stay(w *workload) {
	if w.face != nil {
		c[w.crew()] = w.own
	}
}

func (w *workload) crew() crew {
	return crew{fmt.Sprintf("%v %v %v %v", w.face.Inbound, w.face.MTLS, w.face.PortMTLS, w.face.Addresses), w.chosen}
}

// workload that the translation is given.
func (w *workload) seen() *model.Workload {
	if w.face != nil {
		return w.face
	}
	return w.in
}
