// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
)

// heard is what the agent told of the application.
func (c *standIn) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.health...)
}

// TestApplicationOfAMachine: what the application says reaches the control plane,
// each change once, again after the control plane was away, and the proxy's end
// before it. The certificate is renewed without a token.
func TestApplicationOfAMachine(t *testing.T) {
	c := newStandIn(t, shortLife)
	s := settings(t, c)
	s.Node.Metadata = map[string]string{"AUTO_REGISTER_GROUP": "reviews"}
	s.CertificateDirectory = t.TempDir()
	s.DrainAtLeast = 5 * time.Second // in which its end is told
	at := freePort(t)
	var err error
	s.Readiness, err = readiness.Parse(&networking.ReadinessProbe{
		PeriodSeconds: 1, TimeoutSeconds: 10, FailureThreshold: 2,
		HealthCheckMethod: &networking.ReadinessProbe_TcpSocket{TcpSocket: &networking.TCPHealthCheckConfig{Port: uint32(at)}},
	}, s.Node.Addresses)
	check(t, err)
	application := func() net.Listener {
		l, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at).String())
		check(t, err)
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	const opened = "stream of sidecar~127.0.0.1~reviews-1.shop~shop.svc.cluster.local in reviews"
	told := func(what string, want ...string) {
		t.Helper()
		eventually(t, what, func() error {
			if diff := cmp.Diff(want, c.heard()); diff != "" {
				return fmt.Errorf("heard (-want +got):\n%s", diff)
			}
			return nil
		})
	}

	listening := application()
	p := run(t, s)
	told("ready", opened, "ready")

	_ = listening.Close()
	refused := fmt.Sprintf("500 dial tcp 127.0.0.6:0->127.0.0.1:%d: connect: connection refused", at)
	told("unready", opened, "ready", refused)
	listening = application()
	told("ready again", opened, "ready", refused, "ready")

	c.mu.Lock()
	c.noToken = true
	c.mu.Unlock()
	c.stop()
	c.start(t, c.address)
	told("said again", opened, "ready", refused, "ready", opened, "ready")
	before := len(c.certified())
	eventually(t, "a certificate without a token", func() error {
		if got := c.certified()[before:]; len(got) == 0 {
			return errors.New("none yet")
		} else if strings.Contains(strings.Join(got, " "), "token") {
			t.Fatalf("proven by %v", got)
		}
		return nil
	})

	p.stop()
	told("the end", opened, "ready", refused, "ready", opened, "ready", "500 the proxy is stopping")
	<-p.ended
	_ = listening.Close()
}
