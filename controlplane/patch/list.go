// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"slices"

	"google.golang.org/protobuf/proto"
)

// edit a list of named things as an operation says. chosen tells which elements
// the match names; named is false when it names none. last is where ADD puts
// one: before what has to stay at the end. The result is a new list.
func edit[T proto.Message](list []T, p *Patch, named bool, chosen func(T) bool, last func([]T) int) []T {
	out := slices.Clone(list)
	value := func() T {
		v, _ := proto.Clone(p.value).(T)
		return v
	}
	i := slices.IndexFunc(out, chosen)
	found := named && i >= 0
	switch p.Operation {
	case "ADD":
		return slices.Insert(out, last(out), value())
	case "INSERT_FIRST":
		if !named || found {
			return slices.Insert(out, 0, value())
		}
	case "INSERT_BEFORE":
		switch {
		case found:
			return slices.Insert(out, i, value())
		case !named:
			return slices.Insert(out, 0, value())
		}
	case "INSERT_AFTER":
		switch {
		case found:
			return slices.Insert(out, i+1, value())
		case !named:
			return slices.Insert(out, last(out), value())
		}
	case "REPLACE":
		if found {
			out[i] = value()
		}
	case "REMOVE":
		if named {
			return slices.DeleteFunc(out, chosen)
		}
	case "MERGE", replaceLists:
		for i, e := range out {
			if !named || chosen(e) {
				out[i] = proto.CloneOf(e)
				merge(out[i], p.value, p.Operation == replaceLists)
			}
		}
	}
	return out
}

func atEnd[T any](list []T) int { return len(list) }

// beforeLast keeps the last one, which ends a chain of filters, the last.
func beforeLast[T any](list []T) int { return max(len(list)-1, 0) }
