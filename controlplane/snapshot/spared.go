// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// mostVariants of one snapshot. Who would see one more sees the mesh as it is.
const mostVariants = 64

// variants are snapshots of the mesh as proxies see it that are spared something,
// by what stands in. Proxies that are spared the same see the same.
type variants struct {
	mu sync.Mutex
	of map[string]*Snapshot
	// earlier ones, of the snapshot before.
	earlier map[string]*Snapshot
}

// next are these in the snapshot that follows: what they translated is known.
func (v *variants) next() *variants {
	if v == nil {
		return &variants{}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return &variants{earlier: v.of}
}

// standIns for objects at a pod: for those that were found guilty, and for those
// that are on trial.
func (s *spared) standIns() map[object]standIn {
	if s == nil {
		return nil
	}
	out := map[object]standIn{}
	for k, r := range s.of {
		if r.aside {
			out[k] = r.standIn
		}
	}
	for _, t := range s.search.shown() {
		out[t.of] = t.standIn
	}
	return out
}

// seenBy a proxy: the snapshot itself, unless the proxy is spared something.
func (s *Snapshot) seenBy(p *model.Proxy) *Snapshot {
	if s.aside == nil || len(s.aside.pods) == 0 {
		return s
	}
	return s.instead(s.aside.pods[objectName{p.Namespace, p.Name}].standIns())
}

// instead of some objects something else: the snapshot of that mesh.
func (s *Snapshot) instead(of map[object]standIn) *Snapshot {
	if len(of) == 0 {
		return s
	}
	key := variantKey(of)
	s.variants.mu.Lock()
	defer s.variants.mu.Unlock()
	if v := s.variants.of[key]; v != nil {
		return v
	}
	if len(s.variants.of) >= mostVariants {
		return s
	}
	prev := s.variants.earlier[key]
	if prev == nil {
		prev = s
	}
	v := build(with(s.mesh, of), &Aside{unplugged: s.aside.unplugged}, prev)
	if s.variants.of == nil {
		s.variants.of = map[string]*Snapshot{}
	}
	s.variants.of[key] = v
	return v
}

// variantKey tells what stands in. The same pieces have the same pointer.
func variantKey(of map[object]standIn) string {
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(of), object.compare) {
		fmt.Fprintf(&b, "%s %s/%s %s %d %p,", k.kind, k.namespace, k.name, k.part, of[k].how, of[k].pieces)
	}
	return b.String()
}

// sparedProblems are those of what proxies see that are spared something, but for
// the objects that something stands in for. What is on trial says nothing.
func (s *Snapshot) sparedProblems() []model.Problem {
	if s.aside == nil {
		return nil
	}
	var out []model.Problem
	told := map[*Snapshot]bool{s: true}
	for _, pod := range slices.SortedFunc(maps.Keys(s.aside.pods), objectName.compare) {
		of := s.aside.pods[pod]
		if of.search != nil {
			continue
		}
		instead := of.standIns()
		v := s.instead(instead)
		if told[v] {
			continue
		}
		told[v] = true
		others := map[object]bool{}
		for k := range instead {
			others[k.whole()] = true
		}
		for _, p := range v.Problems() {
			if !others[object{kind: p.Kind, namespace: p.Namespace, name: p.Name}] {
				out = append(out, p)
			}
		}
	}
	return out
}
