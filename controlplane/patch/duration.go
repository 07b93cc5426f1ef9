// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"bytes"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
)

// durations of a value of a message are spelled as protobuf's JSON has them: seconds
// only. Users write "500ms" and "1h" too, which Istio takes. What is no duration, or
// stands where none belongs, stays for who reads the value to find.
func durations(value []byte, of protoreflect.MessageDescriptor) []byte {
	in := json.NewDecoder(bytes.NewReader(value))
	in.UseNumber()
	var content any
	if in.Decode(&content) != nil {
		return value
	}
	out, err := json.Marshal(spelled(content, of))
	if err != nil {
		return value
	}
	return out
}

// spelled is the JSON of a message with its durations in seconds.
func spelled(content any, of protoreflect.MessageDescriptor) any {
	switch in := content.(type) {
	case string:
		if d, err := time.ParseDuration(in); err == nil && of.FullName() == (&durationpb.Duration{}).ProtoReflect().Descriptor().FullName() {
			if seconds, err := protojson.Marshal(durationpb.New(d)); err == nil {
				return json.RawMessage(seconds)
			}
		}
	case []any:
		for i := range in {
			in[i] = spelled(in[i], of)
		}
	case map[string]any:
		if url, ok := in["@type"].(string); ok {
			packed, err := protoregistry.GlobalTypes.FindMessageByURL(url)
			if err != nil {
				return content
			}
			of = packed.Descriptor()
		}
		for name, inner := range in {
			f := of.Fields().ByJSONName(name)
			if f == nil {
				f = of.Fields().ByName(protoreflect.Name(name))
			}
			switch {
			case f == nil:
			case f.IsMap():
				entries, ok := inner.(map[string]any)
				if !ok || f.MapValue().Message() == nil {
					continue
				}
				for k := range entries {
					entries[k] = spelled(entries[k], f.MapValue().Message())
				}
			case f.Message() != nil:
				in[name] = spelled(inner, f.Message())
			}
		}
	}
	return content
}
