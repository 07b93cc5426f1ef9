// SPDX-License-Identifier: Apache-2.0

// Package fields finds what is written in an object and has no place in its
// kind. Istio's types leave such fields out without a word when they are read;
// whoever stands before the flow (manifest, validate) asks here, so that nothing
// is ignored in silence.
package fields

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Unknown are the paths in the spec of an object, as it was written, that the
// type it was read into doesn't have; sorted. Only kinds whose spec is a
// protobuf message, and our own, are looked at: the others are read strictly.
func Unknown(object any, written map[string]any) []string {
	var paths []string
	if t, ok := plainSpec(object); ok && written["spec"] != nil {
		plain{unknown: &paths}.value(t, written["spec"], "spec")
		slices.Sort(paths)
		return paths
	}
	spec, ok := specOf(object)
	if !ok {
		return nil
	}
	walk(spec.ProtoReflect().Descriptor(), written["spec"], "spec", &paths)
	slices.Sort(paths)
	return paths
}

// specOf is the spec of an object, when that is a protobuf message.
func specOf(object any) (proto.Message, bool) {
	v := reflect.Indirect(reflect.ValueOf(object))
	if v.Kind() != reflect.Struct {
		return nil, false
	}
	spec := v.FieldByName("Spec")
	if !spec.IsValid() || !spec.CanAddr() {
		return nil, false
	}
	m, ok := spec.Addr().Interface().(proto.Message)
	return m, ok
}

// walk goes through a value and its message side by side.
func walk(message protoreflect.MessageDescriptor, value any, path string, unknown *[]string) {
	object, ok := value.(map[string]any)
	if !ok || message.ParentFile().Package() == "google.protobuf" {
		return // of another form, which reading it refuses, or free-form, or a scalar in a wrapper
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		field := message.Fields().ByJSONName(name)
		if field == nil {
			field = message.Fields().ByTextName(name)
		}
		at := path + "." + name
		switch {
		case field == nil:
			*unknown = append(*unknown, at)
		case field.IsMap():
			walkMap(field.MapValue(), object[name], at, unknown)
		case field.Message() == nil:
		case field.IsList():
			list, _ := object[name].([]any)
			for i, item := range list {
				walk(field.Message(), item, fmt.Sprintf("%s[%d]", at, i), unknown)
			}
		default:
			walk(field.Message(), object[name], at, unknown)
		}
	}
}

func walkMap(field protoreflect.FieldDescriptor, value any, path string, unknown *[]string) {
	entries, ok := value.(map[string]any)
	if !ok || field.Message() == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		walk(field.Message(), entries[key], fmt.Sprintf("%s[%s]", path, key), unknown)
	}
}

// MaxDepth is how deep objects and lists in an object may be nested. Reading
// Istio's types takes time that grows with depth times size.
const MaxDepth = 100

// TooDeep is true for JSON that is nested deeper than MaxDepth. It only counts:
// whether the text is JSON is not asked.
func TooDeep(text []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
