// SPDX-License-Identifier: Apache-2.0

package model

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// Labels of an object in canonical form: "key=value", sorted by key, joined by
// commas, which neither keys nor values can contain. It is comparable.
type Labels string

// LabelsOf makes the canonical form.
func LabelsOf(m map[string]string) Labels {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(m[k])
	}
	return Labels(b.String())
}

// All keys with their values, sorted by key.
func (l Labels) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if l == "" {
			return
		}
		for pair := range strings.SplitSeq(string(l), ",") {
			k, v, _ := strings.Cut(pair, "=")
			if !yield(k, v) {
				return
			}
		}
	}
}

// Get the value of a key; false when there is none.
func (l Labels) Get(key string) (string, bool) {
	for k, v := range l.All() {
		if k == key {
			return v, true
		}
	}
	return "", false
}

// Contain is true when every one of the wanted labels is there. Nothing wanted
// is always there.
func (l Labels) Contain(wanted Labels) bool {
	for k, v := range wanted.All() {
		if got, ok := l.Get(k); !ok || got != v {
			return false
		}
	}
	return true
}

// Select is true when an object with these labels has every one that the
// selector, which is l, asks for. An empty selector selects everything.
func (l Labels) Select(labels map[string]string) bool {
	for k, v := range l.All() {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
