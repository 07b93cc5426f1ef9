// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// Spec draws specs of a kind of Istio's API, of the shape of its prototype: any
// field may be set, to what users write into it most of the time and to oddities now
// and then. Not every spec is valid. No files are named, there are none to be found.
func Spec(prototype proto.Message) *rapid.Generator[proto.Message] {
	return rapid.Custom(func(t *rapid.T) proto.Message {
		m := prototype.ProtoReflect().New()
		fill(t, m, 0)
		return m.Interface()
	})
}

// deepest nesting that is drawn.
const deepest = 7

// fill the fields of a message: of a oneof, one at most.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	d := m.Descriptor()
	for i := range d.Oneofs().Len() {
		of := d.Oneofs().Get(i)
		if of.IsSynthetic() || !always[string(of.FullName())] && rapid.IntRange(0, 2).Draw(t, "one of "+string(of.Name())) == 0 {
			continue
		}
		set(t, m, of.Fields().Get(rapid.IntRange(0, of.Fields().Len()-1).Draw(t, string(of.Name()))), depth)
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if of := f.ContainingOneof(); of != nil && !of.IsSynthetic() || never[string(f.Name())] {
			continue
		}
		if always[string(f.FullName())] || rapid.IntRange(0, 2).Draw(t, "with "+string(f.Name())) == 0 {
			set(t, m, f, depth)
		}
	}
}

func set(t *rapid.T, m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	name := string(f.Parent().Name()) + "." + string(f.Name())
	if f.Message() != nil && depth >= deepest {
		return
	}
	switch {
	case f.IsMap():
		for range rapid.IntRange(1, 2).Draw(t, "entries") {
			key := protoreflect.ValueOfString(word(t, name+"-key"))
			value := f.MapValue()
			if value.Message() == nil {
				m.Mutable(f).Map().Set(key.MapKey(), scalar(t, value, name))
				continue
			}
			to := m.Mutable(f).Map().NewValue()
			message(t, to.Message(), name, depth+1)
			m.Mutable(f).Map().Set(key.MapKey(), to)
		}
	case f.IsList():
		for range rapid.IntRange(1, 2).Draw(t, "items") {
			if f.Message() == nil {
				m.Mutable(f).List().Append(scalar(t, f, name))
				continue
			}
			message(t, m.Mutable(f).List().AppendMutable().Message(), name, depth+1)
		}
	case f.Message() != nil:
		message(t, m.Mutable(f).Message(), name, depth+1)
	default:
		m.Set(f, scalar(t, f, name))
	}
}

// message of the field name.
func message(t *rapid.T, m protoreflect.Message, name string, depth int) {
	switch to := m.Interface().(type) {
	case *durationpb.Duration:
		proto.Merge(to, durationpb.New(rapid.SampledFrom(usualDurations).Draw(t, name)))
		if rapid.IntRange(0, 40).Draw(t, "odd") == 0 {
			proto.Reset(to)
			proto.Merge(to, durationpb.New(durations.Draw(t, name)))
		}
	case *wrapperspb.UInt32Value:
		to.Value = number(t, name)
	case *wrapperspb.Int32Value:
		to.Value = int32(number(t, name) & (1<<31 - 1))
	case *wrapperspb.UInt64Value:
		to.Value = uint64(number(t, name))
	case *wrapperspb.Int64Value:
		to.Value = int64(number(t, name))
	case *wrapperspb.DoubleValue:
		to.Value = percents.Draw(t, name)
	case *wrapperspb.BoolValue:
		to.Value = rapid.Bool().Draw(t, name)
	case *wrapperspb.StringValue:
		to.Value = word(t, name)
	case *structpb.Struct:
		to.Fields = map[string]*structpb.Value{"key": structpb.NewStringValue(words.Draw(t, name))}
	default:
		fill(t, m, depth)
	}
}

func scalar(t *rapid.T, f protoreflect.FieldDescriptor, name string) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, name))
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(rapid.IntRange(0, values.Len()-1).Draw(t, name)).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(word(t, name))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(words.Draw(t, name)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(percents.Draw(t, name))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(percents.Draw(t, name)))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(number(t, name))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(number(t, name)))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(number(t, name)))
	default:
		return protoreflect.ValueOfInt32(int32(number(t, name) & (1<<31 - 1)))
	}
}

// word that users write into a field, which is named Message.field, or Message.field-key
// for keys of maps; one in fifty is an oddity.
func word(t *rapid.T, name string) string {
	if rapid.IntRange(0, 25).Draw(t, "odd") == 0 {
		return rapid.OneOf(words, paths, names, regexes).Draw(t, name)
	}
	_, short, _ := strings.Cut(name, ".")
	for _, known := range []string{name, short} {
		for _, u := range usual {
			if strings.Contains(" "+u.names+" ", " "+known+" ") {
				return rapid.SampledFrom(u.words).Draw(t, name)
			}
		}
	}
	return rapid.SampledFrom(plain).Draw(t, name)
}

func number(t *rapid.T, name string) uint32 {
	if rapid.IntRange(0, 30).Draw(t, "odd") == 0 {
		return numbers.Draw(t, name)
	}
	_, short, _ := strings.Cut(name, ".")
	for _, u := range usualNumbers {
		if strings.Contains(" "+u.names+" ", " "+short+" ") {
			return rapid.SampledFrom(u.numbers).Draw(t, name)
		}
	}
	return rapid.SampledFrom([]uint32{1, 1, 2, 5, 10, 100}).Draw(t, name)
}
