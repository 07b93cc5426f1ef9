// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"

	"golang.org/x/net/quic"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/http3"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// TestHTTP3 calls a gateway over QUIC.
func TestHTTP3(t *testing.T) {
	root := rig.NewRoot(t)
	chain, key := root.Server("h3.example")
	l := https("h3", &model.ListenerTLS{Credentials: credentials("tls")}, "h3.example")
	l.HTTP3 = true
	f := newFront(t, []model.Listener{l}, []*model.Routing{toWeb("h3.example")}, secret("tls", chain, key, nil))
	ctx, cancel := context.WithTimeout(t.Context(), eventually)
	defer cancel()
	endpoint, err := quic.NewEndpoint(f.outside.ListenUDP("10.244.9.1:0"), &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = endpoint.Close(ctx) }()
	for name, c := range map[string]struct {
		host string
		code int
	}{"Known": {"h3.example", 200}, "Unknown": {"other.example", 404}} {
		t.Run(name, func(t *testing.T) {
			status, body, err := http3.Get(ctx, endpoint, &tls.Config{RootCAs: root.Pool(), ServerName: "h3.example", MinVersion: tls.VersionTLS13}, "10.244.2.9:8443", c.host)
			if err != nil || status != c.code || (status == 200) != strings.Contains(body, "pod=web-1") {
				t.Errorf("%v: %d %s", err, status, body)
			}
		})
	}
	t.Run("AnotherCA", func(t *testing.T) {
		config := &tls.Config{RootCAs: rig.NewRoot(t).Pool(), ServerName: "h3.example", MinVersion: tls.VersionTLS13}
		if status, _, err := http3.Get(ctx, endpoint, config, "10.244.2.9:8443", "h3.example"); err == nil {
			t.Errorf("%d of a gateway that is not to be trusted", status)
		}
	})
}
