// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"strconv"

	"google.golang.org/protobuf/types/known/structpb"
)

// runtimeValues as Envoy types them: numbers and booleans are told by how they are written.
func runtimeValues(values map[string]string) *structpb.Struct {
	out := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(values))}
	for name, text := range values {
		switch n, err := strconv.ParseFloat(text, 64); {
		case text == "true" || text == "false":
			out.Fields[name] = structpb.NewBoolValue(text == "true")
		case err == nil && n-n == 0: // neither infinite nor no number
			out.Fields[name] = structpb.NewNumberValue(n)
		default:
			out.Fields[name] = structpb.NewStringValue(text)
		}
	}
	return out
}
