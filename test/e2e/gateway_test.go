// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/gateways/eastwest"
)

// gatewayAddress is where east's east-west gateway is reached, as the hub tells.
func gatewayAddress(t *testing.T) string {
	t.Helper()
	return kubectl(t, "hub", "get", "meshmember", "east", "-o", "jsonpath={.status.gateway.addresses[0]}")
}

// dialGateway opens a TLS session with a server name through east's gateway and
// returns the SPIFFE ID of who answers.
func dialGateway(t *testing.T, sni string) (string, error) {
	t.Helper()
	address := gatewayAddress(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var peer string
	d := tls.Dialer{Config: &tls.Config{
		ServerName: sni,
		NextProtos: []string{"istio"},
		// The test only asks who answers; the identity is compared by the caller.
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) > 0 && len(s.PeerCertificates[0].URIs) > 0 {
				peer = s.PeerCertificates[0].URIs[0].String()
			}
			return nil
		},
	}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if conn != nil {
		conn.Close()
	}
	if peer != "" {
		return peer, nil // refused later or not: somebody was reached
	}
	return "", err
}

// gatewayRefuses is nil when nobody behind the gateway answers to a server name.
func gatewayRefuses(t *testing.T, sni string) error {
	t.Helper()
	peer, err := dialGateway(t, sni)
	if peer != "" {
		return fmt.Errorf("%s answers to %s", peer, sni)
	}
	if err == nil {
		return errors.New("a session without a certificate")
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return fmt.Errorf("%s is neither answered nor refused: %w", sni, err)
	}
	return nil
}

// gatewayAnswers is nil when a server name leads to a SPIFFE ID.
func gatewayAnswers(t *testing.T, sni, id string) error {
	t.Helper()
	peer, err := dialGateway(t, sni)
	if err == nil && peer != id {
		err = fmt.Errorf("%s answers to %s, want %s", peer, sni, id)
	}
	return err
}

// The gateway passes on what is exported, and nothing else, whatever the name.
func TestGatewayPassesOnlyExports(t *testing.T) {
	eventually(t, patience, "the exported service answers", func() error {
		return gatewayAnswers(t, "outbound_.80_._.catalog.shop.svc.cluster.local", "spiffe://east.shop.example/ns/shop/sa/catalog")
	})
	for _, sni := range []string{
		"outbound_.443_._.kubernetes.default.svc.cluster.local",
		"outbound_.15012_._.istiod.istio-system.svc.cluster.local",
		"outbound_.53_._.kube-dns.kube-system.svc.cluster.local",
		"outbound_.8080_._.catalog.shop.svc.cluster.local",
		"catalog.shop.svc.cluster.local",
		"catalog.shop",
		"outbound_.80_.v1_.catalog.shop.svc.cluster.local",
		"istiod.istio-system.svc",
	} {
		if err := gatewayRefuses(t, sni); err != nil {
			t.Error(err)
		}
	}
}

// The gateway has no key to the sessions that it passes on: its filter chains
// have no transport socket and nothing but a TCP proxy.
func TestGatewayNeverHasPlaintext(t *testing.T) {
	pods := strings.Fields(kubectl(t, "east", "-n", "istio-system", "get", "pods", "-l", "istio=eastwestgateway", "-o", "name"))
	if len(pods) != 2 {
		t.Fatalf("gateway pods: %v, want two", pods)
	}
	for _, pod := range pods {
		dump := kubectl(t, "east", "-n", "istio-system", "exec", pod, "--", "isthmesh-agent", "request", "GET", "config_dump?resource=dynamic_listeners")
		var listeners struct {
			Configs []struct {
				ActiveState struct {
					Listener struct {
						Address struct {
							SocketAddress struct {
								PortValue int `json:"port_value"`
							} `json:"socket_address"`
						} `json:"address"`
						FilterChains []struct {
							Match struct {
								ServerNames []string `json:"server_names"`
							} `json:"filter_chain_match"`
							TransportSocket *json.RawMessage `json:"transport_socket"`
							Filters         []struct {
								Name string `json:"name"`
							} `json:"filters"`
						} `json:"filter_chains"`
					} `json:"listener"`
				} `json:"active_state"`
			} `json:"configs"`
		}
		if err := json.Unmarshal([]byte(dump), &listeners); err != nil {
			t.Fatal(err)
		}
		chains := 0
		for _, c := range listeners.Configs {
			l := c.ActiveState.Listener
			if l.Address.SocketAddress.PortValue != 15443 {
				continue
			}
			for _, chain := range l.FilterChains {
				// It answers other gateways that ask whether it is alive.
				if slices.Equal(chain.Match.ServerNames, []string{eastwest.CheckName}) {
					continue
				}
				chains++
				if chain.TransportSocket != nil {
					t.Errorf("%s ends TLS: %s", pod, *chain.TransportSocket)
				}
				for _, f := range chain.Filters {
					if strings.Contains(f.Name, "http") {
						t.Errorf("%s reads HTTP: %s", pod, f.Name)
					}
				}
			}
		}
		if chains == 0 {
			t.Errorf("%s has no filter chain on 15443", pod)
		}
	}
}
