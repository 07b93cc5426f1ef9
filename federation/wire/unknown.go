// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// DropUnknown removes the fields that this program doesn't know from m and
// everything in it, so that nothing unchecked is relayed to others.
func DropUnknown(m proto.Message) { dropUnknown(m.ProtoReflect()) }

func dropUnknown(m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		m.SetUnknown(nil)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for l, i := v.List(), 0; i < l.Len(); i++ {
				dropUnknown(l.Get(i).Message())
			}
		default:
			dropUnknown(v.Message())
		}
		return true
	})
}
