// SPDX-License-Identifier: Apache-2.0

package verdicts

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// texts that are something else than what most fields want.
var texts = []any{
	"", "*", "a b", "-a-", "*.example.com", "a.*.b", "10.0.0.1", "10.0.0.0/33", "10.0.0.0/8", "[", "a/b", "*/*", "./x", "~/*", "/x",
	"x\ny", "http://x", "unix:///a", "%", "{*}", "70000", "A_b", "*x*", strings.Repeat("a", 64), strings.Repeat("a", 300), strings.Repeat("a", 1100),
}

var whole = []any{-1.0, 0.0, 1.0, 100.0, 101.0, 199.0, 308.0, 600.0, 65536.0, 2147483647.0, 4294967295.0, 4294967296.0, 1.5, "x", "7"}

var fractions = []any{-1.0, 0.0, 0.00001, 0.5, 1.0, 50.0, 100.0, 100.5, 1e9, "x"}

var durations = []any{"0s", "-1s", "1ms", "0.0005s", "0.5s", "1.5s", "1s", "59s", "2h", "87600h", "9223372037s", "5", "soon", "", "1d", 5.0}

// few of a field's values; all of an enumeration.
func few(f protoreflect.FieldDescriptor, values []any) []any {
	if f.Kind() == protoreflect.EnumKind || f.Kind() == protoreflect.BoolKind || len(values) < 4 {
		return values
	}
	return values[1:3]
}

// others are values that a field could have been given.
func others(f protoreflect.FieldDescriptor) []any {
	if m := f.Message(); m != nil {
		switch m.Name() {
		case "Duration":
			return durations
		case "Struct":
			return []any{"x", map[string]any{}, map[string]any{"no_such_field": 1.0}, map[string]any{"@type": "x"}, []any{}}
		case "BoolValue":
			return []any{true, false, "x"}
		case "StringValue":
			return texts
		case "DoubleValue", "FloatValue":
			return fractions
		case "Int32Value", "UInt32Value", "Int64Value", "UInt64Value":
			return whole
		}
		return []any{"x", map[string]any{}}
	}
	switch f.Kind() {
	case protoreflect.StringKind:
		return append([]any{5.0}, texts...)
	case protoreflect.BytesKind:
		return []any{"", "x", "dGVh", 5.0}
	case protoreflect.BoolKind:
		return []any{true, false, "x", 1.0}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return fractions
	case protoreflect.EnumKind:
		values := []any{"NO_SUCH_VALUE", "", 1.0}
		for i := range f.Enum().Values().Len() {
			name := string(f.Enum().Values().Get(i).Name())
			values = append(values, name)
			if i == 0 {
				values = append(values, strings.ToLower(name))
			}
		}
		return values
	}
	return whole
}
