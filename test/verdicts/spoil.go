// SPDX-License-Identifier: Apache-2.0

package verdicts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/apimachinery/pkg/runtime"
)

// gone as a value takes the field away.
type gone struct{}

// spoiler makes the cases of one base.
type spoiler struct {
	base  Case
	cases []Case
	// tried are the fields that had all their values already, in this base or in
	// another one of the kind: in other places some will do.
	tried map[string]bool
}

// spoil one thing of an object at a time: every field that it sets, and every
// other arm of a oneof.
func spoil(base Case, spec protoreflect.MessageDescriptor, tried map[string]bool) []Case {
	s := &spoiler{base: base, tried: tried}
	s.message(spec, base.Object["spec"], []any{"spec"})
	s.put([]any{"spec"}, "gone", gone{})
	s.metadata()
	return s.cases
}

// put a value at a path of a copy of the base.
func (s *spoiler) put(path []any, label string, value any) {
	object := runtime.DeepCopyJSON(s.base.Object)
	name := fmt.Sprintf("%s/%s: %s", s.base.Name, pathName(path), label)
	s.cases = append(s.cases, Case{Name: name, Object: set(object, path, value).(map[string]any)}) //nolint:forcetypeassert // an object stays one
}

func pathName(path []any) string {
	var b strings.Builder
	for i, step := range path {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		case string:
			if i > 0 {
				b.WriteByte('.')
			}
			if strings.ContainsAny(step, "\n .\"") || step == "" {
				step = fmt.Sprintf("%q", step)
			}
			b.WriteString(step)
		}
	}
	return b.String()
}

// set a value below a value, and return that.
func set(in any, path []any, value any) any {
	if len(path) == 0 {
		return value
	}
	switch step := path[0].(type) {
	case int:
		list, _ := in.([]any)
		if step == len(list) {
			list = append(list, nil)
		}
		list[step] = set(list[step], path[1:], value)
		return list
	case string:
		object, _ := in.(map[string]any)
		if object == nil {
			object = map[string]any{}
		}
		if _, away := value.(gone); away && len(path) == 1 {
			delete(object, step)
			return object
		}
		object[step] = set(object[step], path[1:], value)
		return object
	}
	return in
}

func with(path []any, step any) []any { return append(slices.Clone(path), step) }

// message spoils what a message sets, and what excludes it.
func (s *spoiler) message(d protoreflect.MessageDescriptor, value any, path []any) {
	object, _ := value.(map[string]any)
	s.put(with(path, "noSuchField"), "unknown", "x")
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		name := f.JSONName()
		v, there := object[name]
		at := with(path, name)
		if !there {
			s.absent(f, object, at)
			continue
		}
		s.put(at, "gone", gone{})
		s.put(at, "null", nil)
		switch {
		case f.IsMap():
			s.entries(f, v, at)
		case f.IsList():
			s.items(f, v, at)
		default:
			s.one(f, v, at)
		}
	}
}

// absent field: a second arm of a oneof.
func (s *spoiler) absent(f protoreflect.FieldDescriptor, object map[string]any, at []any) {
	one := f.ContainingOneof()
	if one == nil || one.IsSynthetic() {
		return
	}
	for i := range one.Fields().Len() {
		if _, there := object[one.Fields().Get(i).JSONName()]; !there {
			continue
		}
		switch {
		case f.Message() != nil && f.Message().FullName() == "google.protobuf.Duration":
			s.put(at, "second arm", "1s")
		case f.Message() != nil:
			s.put(at, "second arm", map[string]any{})
		case f.Kind() == protoreflect.BoolKind:
			s.put(at, "second arm", true)
		case f.Kind() == protoreflect.StringKind:
			s.put(at, "second arm", "x")
		case f.Kind() == protoreflect.EnumKind:
			s.put(at, "second arm", string(f.Enum().Values().Get(f.Enum().Values().Len()-1).Name()))
		default:
			s.put(at, "second arm", 1.0)
		}
	}
}

func (s *spoiler) items(f protoreflect.FieldDescriptor, value any, at []any) {
	list, _ := value.([]any)
	s.put(at, "empty", []any{})
	s.put(at, "no list", "x")
	s.put(at, "with null", append(slices.Clone(list), nil))
	for i, item := range list {
		if i == 0 {
			s.put(at, "twice the first", append([]any{runtime.DeepCopyJSONValue(item)}, list...))
		}
		s.one(f, item, with(at, i))
	}
}

func (s *spoiler) entries(f protoreflect.FieldDescriptor, value any, at []any) {
	object, _ := value.(map[string]any)
	s.put(at, "empty", map[string]any{})
	s.put(at, "no map", "x")
	for i, key := range slices.Sorted(maps.Keys(object)) {
		if i == 0 {
			for _, bad := range []string{"", "*", "a b", "-a", "a/b", "a\nb", ":path", ":authority", "Host", "70000", "0", strings.Repeat("k", 300)} {
				label := fmt.Sprintf("key %.20q", bad)
				changed, _ := runtime.DeepCopyJSONValue(object).(map[string]any)
				changed[bad] = changed[key]
				s.put(at, label, changed)
			}
		}
		s.one(f.MapValue(), object[key], with(at, key))
	}
}

// one value of a field, or of an item or an entry of it.
func (s *spoiler) one(f protoreflect.FieldDescriptor, value any, at []any) {
	if m := f.Message(); m != nil && m.ParentFile().Package() != "google.protobuf" {
		s.put(at, "empty", map[string]any{})
		s.put(at, "no object", "x")
		s.message(m, value, at)
		return
	}
	field := base(s.base.Kind(), at)
	values := others(f)
	if s.tried[field] {
		values = few(f, values)
	}
	s.tried[field] = true
	for _, v := range values {
		text, err := json.Marshal(v)
		label := string(text)
		if err != nil || len(label) > 40 {
			label = fmt.Sprintf("%s… (%d)", label[:30], len(label))
		}
		if v == nil || label != marshalled(value) {
			s.put(at, label, v)
		}
	}
}

// base is a field without the places of items.
func base(kind string, at []any) string {
	var b strings.Builder
	b.WriteString(kind)
	for _, step := range at {
		if name, ok := step.(string); ok {
			b.WriteString("." + name)
		}
	}
	return b.String()
}

func marshalled(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// metadata that means something to some kinds.
func (s *spoiler) metadata() {
	for _, name := range []string{"a.b", strings.Repeat("n", 64)} {
		s.put([]any{"metadata", "name"}, name, name)
	}
	for _, value := range []string{"true", "false", "perhaps"} {
		s.put([]any{"metadata", "annotations", "istio.io/dry-run"}, value, value)
	}
	s.put([]any{"extra"}, "unknown", "x")
	s.put([]any{"status"}, "with conditions", map[string]any{"conditions": []any{map[string]any{"type": "a", "status": "True"}}})
}
