// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"slices"
	"strings"
)

// Layer is an immutable, sorted set of resources of one type. Two views that
// show the same things share the same *Layer.
type Layer struct{ resources []*Resource }

// NewLayer sorts resources by name; of two with one name the first stands, and
// the names of those left out are returned.
func NewLayer(resources []*Resource) (*Layer, []string) {
	sorted := slices.Clone(resources)
	slices.SortStableFunc(sorted, func(a, b *Resource) int { return strings.Compare(a.Name, b.Name) })
	var dropped []string
	out := sorted[:0]
	for _, r := range sorted {
		if len(out) > 0 && out[len(out)-1].Name == r.Name {
			dropped = append(dropped, r.Name)
			continue
		}
		out = append(out, r)
	}
	return &Layer{resources: out}, dropped
}

// Resources sorted by name. Read only.
func (l *Layer) Resources() []*Resource {
	if l == nil {
		return nil
	}
	return l.resources
}

// Get finds a resource by name; nil when there is none.
func (l *Layer) Get(name string) *Resource {
	if l == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(l.resources, name, func(r *Resource, n string) int { return strings.Compare(r.Name, n) })
	if !ok {
		return nil
	}
	return l.resources[i]
}

// View is what one class of proxies sees, per type. The layers of one type are
// disjoint in names: Shared is what many classes see, Own what this one alone does.
type View struct {
	Types map[string]Layers // key: type URL
}

// Layers of one type.
type Layers struct{ Shared, Own *Layer }

// Get finds a resource of a type by name; nil when there is none.
func (v *View) Get(typeURL, name string) *Resource {
	if v == nil {
		return nil
	}
	l := v.Types[typeURL]
	if r := l.Own.Get(name); r != nil {
		return r
	}
	return l.Shared.Get(name)
}
