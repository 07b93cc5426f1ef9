// SPDX-License-Identifier: Apache-2.0

package envoybin_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/isthmesh/isthmesh/test/envoybin"
)

// TestFreePort: nobody gets a port twice while its test runs, and each can be listened on.
func TestFreePort(t *testing.T) {
	given := map[uint16]bool{}
	for range 200 {
		port := envoybin.FreePort(t)
		if given[port] {
			t.Errorf("port %d is given twice", port)
		}
		given[port] = true
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Error(err)
			continue
		}
		l.Close()
	}
}
