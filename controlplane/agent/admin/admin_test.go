// SPDX-License-Identifier: Apache-2.0

package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/agent/admin"
)

func client(t *testing.T, answer http.HandlerFunc) *admin.Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return admin.New(server.Listener.Addr().String())
}

func TestConnections(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `listener.0.0.0.0_15006.downstream_cx_active: 3
listener.0.0.0.0_15006.worker_0.downstream_cx_active: 2
listener.0.0.0.0_15006.worker_1.downstream_cx_active: 1
listener.[__]_15006.downstream_cx_active: 4
listener.admin.downstream_cx_active: 1
listener.admin.main_thread.downstream_cx_active: 1
listener.agent.downstream_cx_active: 8
listener.prometheus_stats.downstream_cx_active: 9
listener.agent.worker_0.downstream_cx_active: 8
not a number: x
`)
	})
	n, err := c.Connections(t.Context())
	if err != nil || n != 7 {
		t.Errorf("%d connections, %v; want 7", n, err)
	}
}

func TestRefusals(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "PRE_INITIALIZING", http.StatusServiceUnavailable)
	})
	if err := c.Live(t.Context()); err == nil || err.Error() != "envoy is PRE_INITIALIZING" {
		t.Errorf("live: %v", err)
	}
	if err := c.Drain(t.Context(), true); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("drain: %v", err)
	}
	if _, err := c.Connections(t.Context()); err == nil {
		t.Error("connections without statistics")
	}
	if _, err := c.Prometheus(t.Context()); err == nil {
		t.Error("metrics without statistics")
	}
}

func TestDrain(t *testing.T) {
	for name, inbound := range map[string]bool{"/drain_listeners?graceful&skip_exit": false, "/drain_listeners?inboundonly&graceful&skip_exit": true} {
		t.Run(name, func(t *testing.T) {
			c := client(t, func(_ http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.RequestURI != name {
					t.Errorf("%s %s", r.Method, r.RequestURI)
				}
			})
			if err := c.Drain(t.Context(), inbound); err != nil {
				t.Error(err)
			}
		})
	}
}
