// SPDX-License-Identifier: Apache-2.0

package authntest

import (
	"net"
	"testing"

	"google.golang.org/grpc"
)

// Serve runs a gRPC server on loopback until the test ends, and returns its address.
func Serve(t testing.TB, server *grpc.Server) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}
