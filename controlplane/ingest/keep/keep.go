// SPDX-License-Identifier: Apache-2.0

// Package keep gives the parts of ingest that build their output anew what they
// need for sharing it with the last one: an unchanged value keeps its pointer,
// so that whoever comes after may memoise by pointer.
package keep

import (
	"reflect"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Value is a pointer to a part of the model that has an Origin.
type Value interface {
	comparable
	Object() model.Origin
}

// Share returns now with the pointers of those values in old that are deeply
// equal and came from the same object; old itself when nothing differs. The
// order is that of now. Now may be modified.
func Share[T Value](old, now []T) []T {
	if len(old) == 0 {
		return now
	}
	known := make(map[model.Origin][]T, len(old))
	for _, v := range old {
		known[v.Object()] = append(known[v.Object()], v)
	}
	for i, v := range now {
		for _, was := range known[v.Object()] {
			if was == v || reflect.DeepEqual(was, v) {
				now[i] = was
				break
			}
		}
	}
	return Slice(old, now)
}

// Slice returns old when now holds the same pointers, or equal values, in the same order.
func Slice[T comparable](old, now []T) []T {
	if len(old) == len(now) && slices.Equal(old, now) {
		return old
	}
	return now
}

// Same is true when two structs of slices, maps, pointers and simple values
// hold the same ones: what was made of the one holds for the other.
func Same[T any](a, b T) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		f, g := x.Field(i), y.Field(i)
		switch f.Kind() {
		case reflect.Slice:
			if f.Len() != g.Len() || f.Len() > 0 && f.Pointer() != g.Pointer() {
				return false
			}
		case reflect.Map:
			if f.Len() != g.Len() || f.Pointer() != g.Pointer() {
				return false
			}
		case reflect.Struct:
			if !Same(f.Interface(), g.Interface()) {
				return false
			}
		default:
			if !f.Equal(g) {
				return false
			}
		}
	}
	return true
}
