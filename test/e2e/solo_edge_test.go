// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/quic"

	"github.com/isthmesh/isthmesh/test/http3"
)

// authority certifies the shop.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	var der []byte
	a.key, der = a.certify(t, &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true})
	var err error
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.certificate)
	return a
}

// certify a new key; the first certificate is the authority's own.
func (a *authority) certify(t *testing.T, template *x509.Certificate) (key *ecdsa.PrivateKey, der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer); err != nil {
		t.Fatal(err)
	}
	return key, der
}

// secret of type kubernetes.io/tls with a certificate of the shop, told by its serial number.
func (a *authority) secret(t *testing.T, serial int64) string {
	t.Helper()
	key, der := a.certify(t, &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{shopHost, "*." + shopHost}})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, namespace: istio-system}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n",
		encoded("CERTIFICATE", der), encoded("PRIVATE KEY", private))
}

// secure asks the shop over TLS, and returns the serial number of the certificate that it was shown.
func (m *soloMesh) secure() (answer, int64, error) {
	var serial int64
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, m.address+":443")
		},
		TLSClientConfig: &tls.Config{RootCAs: m.authority.pool, MinVersion: tls.VersionTLS13, VerifyConnection: func(s tls.ConnectionState) error {
			serial = s.PeerCertificates[0].SerialNumber.Int64()
			return nil
		}},
	}}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+shopHost+"/", nil)
	if err != nil {
		return answer{}, 0, err
	}
	a, err := sent(client, r)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d", a.status)
	}
	return a, serial, err
}

const shopIngress = `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: istio}
spec: {controller: istio.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec:
  ingressClassName: istio
  tls: [{hosts: [shop.example], secretName: shop-tls}]
  rules:
  - host: shop.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: server, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: mistaken, namespace: shop}
spec:
  ingressClassName: istio
  tls: [{hosts: [mistaken.example], secretName: nowhere}]
  rules:
  - host: mistaken.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: nobody, port: {number: 80}}}}]}
`

// ingress: the Ingress kind with a certificate, its status, and Events of what is wrong with one.
func (m *soloMesh) ingress(t *testing.T) {
	soloApply(t, m.authority.secret(t, 2)+"---"+shopIngress)
	eventually(t, patience, "the shop answers over TLS", func() error {
		a, _, err := m.secure()
		if err == nil && !strings.Contains(a.seen.Get("X-Forwarded-Client-Cert"), "URI=spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway") {
			err = fmt.Errorf("the server saw %v", a.seen)
		}
		return err
	})
	eventually(t, patience, "the Ingress has the gateway's address", func() error {
		if got := kubectl(t, "solo", "-n", "shop", "get", "ingress", "shop", "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}"); got != m.address {
			return fmt.Errorf("got %q, want %q", got, m.address)
		}
		return nil
	})
	eventually(t, patience, "kubectl describe has the Events", func() error {
		out := kubectl(t, "solo", "-n", "shop", "describe", "ingress", "mistaken")
		for _, s := range []string{`there is no Service "nobody" in namespace "shop"`, "Secret istio-system/nowhere"} {
			if !strings.Contains(out, s) {
				return fmt.Errorf("no %q in\n%s", s, out)
			}
		}
		return nil
	})
	if events := kubectl(t, "solo", "-n", "shop", "get", "events", "--field-selector", "involvedObject.name=shop"); events != "" {
		t.Errorf("Events of an Ingress that nothing is wrong with:\n%s", events)
	}
}

// rotation: another certificate in the Secret is shown to whoever connects then, and no request is lost.
func (m *soloMesh) rotation(t *testing.T) {
	var latest atomic.Int64
	end := steady(func() error {
		_, serial, err := m.secure()
		latest.Store(serial)
		return err
	})
	for serial := int64(3); serial < 6; serial++ {
		soloApply(t, m.authority.secret(t, serial))
		took := eventually(t, patience, "the other certificate is shown", func() error {
			if now := latest.Load(); now != serial {
				return fmt.Errorf("serial number %d, want %d", now, serial)
			}
			return nil
		})
		t.Logf("another certificate is shown after %s", took.Round(time.Millisecond))
	}
	asked, err := end()
	if err != nil {
		t.Errorf("of %d requests some failed: %v", asked, err)
	}
	t.Logf("%d requests meanwhile", asked)
}

// http3: the gateway's Service takes UDP on the port that it has for TLS.
func (m *soloMesh) http3(t *testing.T) {
	soloApply(t, `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: quic, namespace: istio-system, annotations: {isthmesh.dev/http3: "true"}}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [quic.shop.example], tls: {mode: SIMPLE, credentialName: shop-tls}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: quic, namespace: shop}
spec:
  hosts: [quic.shop.example]
  gateways: [istio-system/quic]
  http: [{route: [{destination: {host: server}}]}]
`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	endpoint, err := quic.Listen("udp", ":0", nil) // only to call
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = endpoint.Close(ctx) }()
	eventually(t, patience, "an answer over QUIC", func() error {
		once, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		config := &tls.Config{RootCAs: m.authority.pool, ServerName: "quic." + shopHost, MinVersion: tls.VersionTLS13}
		status, body, err := http3.Get(once, endpoint, config, m.address+":443", "quic."+shopHost)
		if err == nil && (status != http.StatusOK || !strings.Contains(body, "ingressgateway")) {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	})
	a, _, err := m.secure()
	if err != nil {
		t.Fatalf("what is not of HTTP/3: %v: %v", a, err)
	}
}
