// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// difference is what has to be told to somebody who has the old layers of a view
// so that he has the new ones: at most two diffs, as their names are disjoint.
type difference []*diff

// changed resources of all diffs.
func (d difference) changed() []*envoy.Resource {
	if len(d) == 1 {
		return d[0].changed
	}
	var out []*envoy.Resource
	for _, part := range d {
		out = append(out, part.changed...)
	}
	return out
}

// removed resources, sorted by name.
func (d difference) removed() []*envoy.Resource {
	var out []*envoy.Resource
	for _, part := range d {
		out = merged(out, part.removed)
	}
	return out
}

// diff of two layers. It is immutable.
type diff struct {
	// changed are new or have new content; sorted by name.
	changed []*envoy.Resource
	// removed as they were in the old layers; sorted by name.
	removed []*envoy.Resource
}

func (d *diff) empty() bool { return d == nil || len(d.changed)+len(d.removed) == 0 }

// layerDiff walks two sorted layers side by side. Most of the pointers are
// equal, so most steps are one comparison.
func layerDiff(old, next *envoy.Layer) *diff {
	if old == next {
		return nil
	}
	d := &diff{}
	a, b := old.Resources(), next.Resources()
	for len(a) > 0 && len(b) > 0 {
		if a[0] == b[0] {
			a, b = a[1:], b[1:]
			continue
		}
		switch c := strings.Compare(a[0].Name, b[0].Name); {
		case c < 0:
			d.removed, a = append(d.removed, a[0]), a[1:]
		case c > 0:
			d.changed, b = append(d.changed, b[0]), b[1:]
		default:
			if a[0].Version != b[0].Version {
				d.changed = append(d.changed, b[0])
			}
			a, b = a[1:], b[1:]
		}
	}
	d.removed = append(d.removed, a...)
	d.changed = append(d.changed, b...)
	return d
}

// join makes one difference out of those of two layers. A name that went from
// one layer to the other is changed, not removed.
func join(x, y *diff) *diff {
	d := &diff{changed: merged(x.changed, y.changed)}
	for _, r := range merged(x.removed, y.removed) {
		if _, found := slices.BinarySearchFunc(d.changed, r.Name, byName); !found {
			d.removed = append(d.removed, r)
		}
	}
	return d
}

func byName(r *envoy.Resource, name string) int { return strings.Compare(r.Name, name) }

// merged is two sorted slices as one.
func merged(a, b []*envoy.Resource) []*envoy.Resource {
	if len(a)+len(b) == 0 {
		return nil
	}
	out := make([]*envoy.Resource, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Name <= b[0].Name {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// all resources of two layers, sorted by name.
func all(l envoy.Layers) []*envoy.Resource {
	if len(l.Own.Resources()) == 0 {
		return l.Shared.Resources()
	}
	return merged(l.Shared.Resources(), l.Own.Resources())
}

// get finds a resource in either layer; nil when there is none.
func get(l envoy.Layers, name string) *envoy.Resource {
	if r := l.Own.Get(name); r != nil {
		return r
	}
	return l.Shared.Get(name)
}

func count(l envoy.Layers) int { return len(l.Own.Resources()) + len(l.Shared.Resources()) }

// version of two layers is a hash of the names and versions in them, the same
// on every replica.
func version(l envoy.Layers) string {
	h := sha256.New()
	for _, r := range all(l) {
		h.Write([]byte(r.Name))
		h.Write([]byte{0})
		h.Write([]byte(r.Version))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
