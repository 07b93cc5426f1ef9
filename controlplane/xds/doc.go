// SPDX-License-Identifier: Apache-2.0

// Package xds sends each proxy what differs from what it has: delta and
// state-of-the-world ADS over gRPC. It comes last in the flow, after sidecar,
// eastwest and snapshot, and is the only package that talks to proxies.
//
// Who asks is settled once per stream (proxy.go). What it holds is kept as
// pointers to the layers it was brought to (subscription.go), so that a push
// costs a stream a few pointer comparisons, and the difference of two layers is
// computed once for all streams (cache.go). Bytes are never copied per stream:
// a response is the resources' shared bytes and a nonce (payload.go, codec.go).
// When to send what is decided by a session (session.go), which is free of I/O;
// a stream (stream.go) carries out what its session says.
package xds
