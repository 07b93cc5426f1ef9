// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that everything but ADS goes through
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// frame is a response as it is sent: shared bytes, and a nonce of its own.
// Protobuf lets fields come in any order, so the nonce can be last.
type frame struct {
	body  mem.BufferSlice
	nonce string
}

func (f *frame) buffers() mem.BufferSlice {
	tail := make([]byte, 0, len(f.nonce)+2)
	tail = protowire.AppendTag(tail, fieldNonce, protowire.BytesType)
	tail = protowire.AppendString(tail, f.nonce)
	out := make(mem.BufferSlice, 0, len(f.body)+1)
	out = append(out, f.body...)
	return append(out, mem.SliceBuffer(tail))
}

// codec lets frames and requests through and leaves every other message, of
// other services on the same gRPC server, to the protobuf codec.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return f.buffers(), nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal never fails on a request: what is wrong with it is for the stream to
// answer.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*request)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	r.decode(buf.ReadOnlyData())
	return nil
}

// ServerOptions are what a gRPC server needs to carry ADS: the codec for shared
// bytes, small buffers, and keepalives that notice a peer that is gone within a
// minute. Other services may be on the same server.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxSendMsgSize(maxResponse),
		grpc.MaxConcurrentStreams(100),
		grpc.ReadBufferSize(0),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}

const (
	maxRequest  = 4 << 20
	maxResponse = 1 << 30
)
