// SPDX-License-Identifier: Apache-2.0

package envoybin

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// Start runs an Envoy with a configuration until the test ends, and waits until
// it takes connections at an address.
func Start(t testing.TB, b *bootstrapv3.Bootstrap, ready string) {
	t.Helper()
	text, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "envoy.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	process := exec.CommandContext(t.Context(), Path(t), "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "-c", path)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	// The context, which ends before cleanups run, has killed it.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = process.Wait()
	}()
	t.Cleanup(func() { <-ended })
	deadline, tick := time.After(30*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ready); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
			continue
		case <-ended:
		case <-deadline:
		}
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("envoy does not answer at %s: %s", ready, said)
	}
}

// FreePort on the loopback interface, which nobody had a moment ago.
func FreePort(t testing.TB) uint16 {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}
