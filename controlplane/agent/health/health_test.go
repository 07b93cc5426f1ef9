// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/agent/health"
)

type envoy struct {
	live  error
	stats map[string]uint64
	asked int
}

func (e *envoy) Live(context.Context) error { return e.live }

func (e *envoy) Stats(_ context.Context, filter *regexp.Regexp) (map[string]uint64, error) {
	e.asked++
	out := map[string]uint64{}
	for name, n := range e.stats {
		if filter.MatchString(name) {
			out[name] = n
		}
	}
	return out, nil
}

func TestReady(t *testing.T) {
	whole := map[string]uint64{"cluster_manager.cds.update_success": 1, "listener_manager.lds.update_success": 1, "listener_manager.workers_started": 1}
	without := func(name string) map[string]uint64 {
		out := map[string]uint64{name: 0}
		for k, v := range whole {
			if k != name {
				out[k] = v
			}
		}
		return out
	}
	cases := map[string]struct {
		envoy       envoy
		certificate bool
		stop        bool
		want        string
	}{
		"All":           {envoy{stats: whole}, true, false, ""},
		"NoCertificate": {envoy{stats: whole}, false, false, "no certificate"},
		"NotLive":       {envoy{live: errors.New("envoy is INITIALIZING"), stats: whole}, true, false, "INITIALIZING"},
		"NoClusters":    {envoy{stats: without("cluster_manager.cds.update_success")}, true, false, "no clusters"},
		"NoListeners":   {envoy{stats: without("listener_manager.lds.update_success")}, true, false, "no listeners"},
		"NoWorkers":     {envoy{stats: without("listener_manager.workers_started")}, true, false, "workers"},
		"Stopping":      {envoy{stats: whole}, true, true, "stopping"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := health.New(&c.envoy)
			if c.certificate {
				h.HasCertificate()
			}
			if c.stop {
				h.Stop()
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz/ready", nil))
			if c.want == "" && w.Code != http.StatusOK || c.want != "" && (w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), c.want)) {
				t.Errorf("%d %s, want %q", w.Code, w.Body, c.want)
			}
		})
	}
}

func TestReadyIsCheapOnceItWas(t *testing.T) {
	e := &envoy{stats: map[string]uint64{"cluster_manager.cds.update_success": 1, "listener_manager.lds.update_success": 1, "listener_manager.workers_started": 1}}
	h := health.New(e)
	h.HasCertificate()
	for range 3 {
		if err := h.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if e.asked != 1 {
		t.Errorf("asked for statistics %d times", e.asked)
	}
	e.live = errors.New("envoy is DRAINING")
	if h.Ready(t.Context()) == nil {
		t.Error("ready without Envoy")
	}
}
