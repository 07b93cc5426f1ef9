// SPDX-License-Identifier: Apache-2.0

package envoybin

import (
	"fmt"
	"math/rand/v2"
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
	deadline, tick := time.After(2*time.Minute), time.NewTicker(20*time.Millisecond)
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

// The ports that FreePort gives are below those that the kernel gives to connections
// and to who listens on port 0: between a test's choice and its Envoy's start many do.
const firstPort, ports = 30000, 2700

// FreePort on the loopback interface. No other test gets it until this one ends, in
// this process or another one: who holds a port listens on a socket of its name.
func FreePort(t testing.TB) uint16 {
	t.Helper()
	for range ports {
		port := firstPort + rand.IntN(ports)
		held, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", fmt.Sprintf("@isthmesh-test-port-%d", port))
		if err != nil {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			held.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { held.Close() })
		return uint16(port)
	}
	t.Fatalf("no port from %d to %d is free", firstPort, firstPort+ports-1)
	return 0
}
