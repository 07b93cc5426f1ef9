// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Message is the resource unmarshalled, for tools and tests. It needs the
// message's Go type linked in.
func (r *Resource) Message() (proto.Message, error) {
	packed := new(anypb.Any)
	if err := proto.Unmarshal(r.Any(), packed); err != nil {
		return nil, fmt.Errorf("unmarshal %q: %w", r.Name, err)
	}
	m, err := packed.UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("unmarshal %q of type %s: %w", r.Name, packed.GetTypeUrl(), err)
	}
	return m, nil
}

// JSON is the resource as Envoy's own tools show it, on one line. Equal
// resources give equal text.
func (r *Resource) JSON() ([]byte, error) {
	m, err := r.Message()
	if err != nil {
		return nil, err
	}
	loose, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write %q as JSON: %w", r.Name, err)
	}
	// protojson varies its white space on purpose.
	var out bytes.Buffer
	if err := json.Compact(&out, loose); err != nil {
		return nil, fmt.Errorf("write %q as JSON: %w", r.Name, err)
	}
	return out.Bytes(), nil
}
