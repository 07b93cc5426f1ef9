// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// replaceLists merges as merge does, but lists take the place of lists.
const replaceLists = "MERGE_AND_REPLACE_LIST"

// merge what a message says into another one: single values replace, lists are
// appended (or replace), messages are merged field by field. A packed message is
// merged with one of its own type, and replaces one of another.
func merge(into, from proto.Message, replace bool) {
	mergeInto(into.ProtoReflect(), from.ProtoReflect(), replace)
}

func mergeInto(into, from protoreflect.Message, replace bool) {
	from.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			m := into.Mutable(fd).Map()
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				if fd.MapValue().Message() != nil && m.Has(k) {
					mergeMessage(m.Mutable(k).Message(), v.Message(), replace)
				} else {
					m.Set(k, cloned(fd.MapValue(), v))
				}
				return true
			})
		case fd.IsList():
			if replace {
				into.Clear(fd)
			}
			list := into.Mutable(fd).List()
			for i := range v.List().Len() {
				list.Append(cloned(fd, v.List().Get(i)))
			}
		case fd.Message() != nil && into.Has(fd):
			mergeMessage(into.Mutable(fd).Message(), v.Message(), replace)
		default:
			into.Set(fd, cloned(fd, v))
		}
		return true
	})
}

func mergeMessage(into, from protoreflect.Message, replace bool) {
	switch from.Descriptor().FullName() {
	case "google.protobuf.Any":
		mergeAny(into, from, replace)
		return
	case "google.protobuf.Duration", "google.protobuf.Timestamp", "google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue",
		"google.protobuf.UInt32Value", "google.protobuf.UInt64Value", "google.protobuf.Int32Value", "google.protobuf.Int64Value",
		"google.protobuf.DoubleValue", "google.protobuf.FloatValue":
		// A value as a whole: zero is a value too.
		proto.Reset(into.Interface())
	}
	mergeInto(into, from, replace)
}

func mergeAny(into, from protoreflect.Message, replace bool) {
	a, ok := into.Interface().(*anypb.Any)
	b, also := from.Interface().(*anypb.Any)
	if !ok || !also {
		return
	}
	if a.GetTypeUrl() == b.GetTypeUrl() {
		m, err := a.UnmarshalNew()
		n, err2 := b.UnmarshalNew()
		if err == nil && err2 == nil {
			merge(m, n, replace)
			if anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}) == nil {
				return
			}
		}
	}
	a.TypeUrl, a.Value = b.GetTypeUrl(), b.GetValue()
}

func cloned(fd protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	if fd.Message() == nil {
		return v
	}
	return protoreflect.ValueOfMessage(proto.Clone(v.Message().Interface()).ProtoReflect())
}
