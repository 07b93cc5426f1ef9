// SPDX-License-Identifier: Apache-2.0

package fields

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Wrong is a value that its field can't have.
type Wrong struct {
	// Field is its path, and Why what is wrong with it and what mends it.
	Field, Why string
}

// maxWrong values of one object that are told.
const maxWrong = 40

// Misfits are the values in the spec of an object, as it was written, that are
// of another type than the field in the type that it is to be read into; in the
// order of their names. The API server refuses them too. Only kinds whose spec is
// a protobuf message, and our own, are looked at.
func Misfits(object any, written map[string]any) []Wrong {
	if t, ok := plainSpec(object); ok {
		m := &misfits{}
		if value, there := written["spec"]; there {
			plain{misfits: m}.value(t, value, "spec")
		}
		return m.found
	}
	spec, ok := specOf(object)
	if !ok {
		return nil
	}
	m := &misfits{}
	if value, there := written["spec"]; there {
		m.message(spec.ProtoReflect().Descriptor(), value, "spec")
	}
	return m.found
}

type misfits struct{ found []Wrong }

func (m *misfits) tell(field, format string, args ...any) {
	if len(m.found) < maxWrong {
		m.found = append(m.found, Wrong{field, fmt.Sprintf(format, args...)})
	}
}

func (m *misfits) message(d protoreflect.MessageDescriptor, value any, path string) {
	object, ok := value.(map[string]any)
	if !ok {
		m.tell(path, "%s is no object; write its fields below it", shown(value))
		return
	}
	arms := map[protoreflect.FullName]string{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		f := d.Fields().ByJSONName(name)
		if f == nil {
			if f = d.Fields().ByTextName(name); f == nil {
				continue // Unknown tells of it
			}
		}
		at := path + "." + name
		if one := f.ContainingOneof(); one != nil && !one.IsSynthetic() && object[name] != nil {
			if other := arms[one.FullName()]; other != "" {
				m.tell(at, "%s and %s exclude each other; keep one", other, name)
			}
			arms[one.FullName()] = name
		}
		m.field(f, object[name], at)
	}
}

func (m *misfits) field(f protoreflect.FieldDescriptor, value any, path string) {
	switch {
	case value == nil:
		if !isWrapper(f) || f.IsList() {
			m.tell(path, "it is null; give it a value, or leave it out")
		}
	case f.IsMap():
		entries, ok := value.(map[string]any)
		if !ok {
			m.tell(path, "%s is no map; write key: value", shown(value))
			return
		}
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			if _, err := strconv.ParseUint(key, 10, 32); f.MapKey().Kind() == protoreflect.Uint32Kind && err != nil {
				m.tell(path, "%.100q is no number, as keys are here; write one", key)
				continue
			}
			m.one(f.MapValue(), entries[key], path+"["+key+"]")
		}
	case f.IsList():
		list, ok := value.([]any)
		if !ok {
			m.tell(path, "%s is no list; begin each item with a dash", shown(value))
			return
		}
		for i, item := range list {
			m.one(f, item, fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		m.one(f, value, path)
	}
}

func isWrapper(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && f.Message().ParentFile().Path() == "google/protobuf/wrappers.proto"
}

// one value that isn't a list or a map.
func (m *misfits) one(f protoreflect.FieldDescriptor, value any, path string) {
	if value == nil {
		m.tell(path, "it is null; give it a value, or leave it out")
		return
	}
	if d := f.Message(); d != nil {
		switch {
		case isWrapper(f):
			m.one(d.Fields().Get(0), value, path)
		case d.FullName() == "google.protobuf.Duration":
			m.duration(value, path)
		case d.FullName() == "google.protobuf.Struct":
			if _, ok := value.(map[string]any); !ok {
				m.tell(path, "%s is no object; write key: value", shown(value))
			}
		case d.ParentFile().Package() != "google.protobuf":
			m.message(d, value, path)
		}
		return
	}
	text, isText := value.(string)
	switch f.Kind() {
	case protoreflect.StringKind:
		if !isText {
			m.tell(path, "%s is no text; write it in quotes", shown(value))
		}
	case protoreflect.BoolKind:
		if _, ok := value.(bool); !ok {
			m.tell(path, "%s is neither true nor false; write one of them, without quotes", shown(value))
		}
	case protoreflect.EnumKind:
		if !isText || f.Enum().Values().ByName(protoreflect.Name(text)) == nil {
			m.tell(path, "%s is none of its values; use %s", shown(value), names(f.Enum()))
		}
	case protoreflect.BytesKind:
		if _, err := base64.StdEncoding.DecodeString(text); !isText || err != nil {
			m.tell(path, "%s is no base64; encode it", shown(value))
		}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		if _, ok := number(value); !ok {
			m.tell(path, "%s is no number; write it without quotes", shown(value))
		}
	default:
		least, most := limits(f.Kind())
		switch n, ok := number(value); {
		case !ok || n != float64(int64(n)) && n < 1<<53:
			m.tell(path, "%s is no whole number; write one, without quotes", shown(value))
		case n < least || n > most:
			m.tell(path, "%s is outside of what the field holds; use %.0f to %.0f", shown(value), least, most)
		}
	}
}

func (m *misfits) duration(value any, path string) {
	text, ok := value.(string)
	if _, err := time.ParseDuration(text); !ok || err != nil {
		m.tell(path, "%s is no duration; write such as 500ms, 1.5s or 2h", shown(value))
	}
}

// names of an enumeration, without those that mean nothing.
func names(d protoreflect.EnumDescriptor) string {
	var all []string
	for i := range d.Values().Len() {
		all = append(all, string(d.Values().Get(i).Name()))
	}
	return strings.Join(all, ", ")
}

// number of JSON or YAML, whichever way it was read.
func number(value any) (float64, bool) {
	switch n := value.(type) {
	case float64:
		return n, true
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	}
	return 0, false
}

func limits(kind protoreflect.Kind) (least, most float64) {
	switch kind {
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return 0, 1<<32 - 1
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return -1 << 31, 1<<31 - 1
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return 0, 1 << 63
	}
	return -1 << 63, 1 << 63
}

// shown is a value as it is told: short.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%.100q", v)
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return fmt.Sprintf("%.100v", value)
}
