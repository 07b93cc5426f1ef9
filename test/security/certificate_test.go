// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/security"
)

const (
	westCart = "spiffe://west.example/ns/shop/sa/cart"
	eastCart = "spiffe://east.example/ns/shop/sa/cart"
)

// names makes the extension of alternative names out of raw ones.
func names(t *testing.T, raw ...asn1.RawValue) []pkix.Extension {
	t.Helper()
	value, err := asn1.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
}

func uri(s string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(s)}
}

// userPrincipalName is a type of other names.
const userPrincipalName = "1.3.6.1.4.1.311.20.2.3"

// otherName of that type with this text.
func otherName(t *testing.T, s string) asn1.RawValue {
	t.Helper()
	id, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	text, err := asn1.MarshalWithParams(s, "utf8")
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: text})
	if err != nil {
		t.Fatal(err)
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(id, value...)}
}

// forgeries are certificates that claim to be east's cart.
func forgeries(t *testing.T, w *world) map[string]rig.Leaf {
	t.Helper()
	with := func(raw ...asn1.RawValue) rig.Leaf {
		return w.root.Forged("", func(c *x509.Certificate) { c.ExtraExtensions = names(t, raw...) })
	}
	return map[string]rig.Leaf{
		"Genuine":     w.root.Leaf(eastCart),
		"Other":       w.root.Leaf(westCart),
		"DNSName":     w.root.Forged(westCart, func(c *x509.Certificate) { c.DNSNames = []string{eastCart} }),
		"CommonName":  w.root.Forged(westCart, func(c *x509.Certificate) { c.Subject.CommonName = eastCart }),
		"Email":       w.root.Forged(westCart, func(c *x509.Certificate) { c.EmailAddresses = []string{eastCart} }),
		"OtherName":   with(uri(westCart), otherName(t, eastCart)),
		"OnlyOther":   with(otherName(t, eastCart)),
		"NULAfter":    with(uri(eastCart + "\x00.evil")),
		"NULBefore":   with(uri("spiffe://evil\x00" + eastCart)),
		"SubPath":     w.root.Leaf("spiffe://west.example/" + "east.example/ns/shop/sa/cart"),
		"SubDomain":   w.root.Leaf("spiffe://a.east.example.evil/ns/shop/sa/cart"),
		"NoIdentity":  w.root.Leaf(""),
		"ForeignRoot": rig.NewRoot(t).Leaf(eastCart),
	}
}

// TestForgedCertificates are replays 21 and 22 (CVE-2026-47778, CVE-2025-66220,
// CVE-2020-15104) and a member whose CA puts another member's identity where no
// name constraint looks: only a whole URI name is an identity.
func TestForgedCertificates(t *testing.T) {
	w := newWorld(t)
	shown := forgeries(t, w)
	for name, policies := range map[string]string{
		"Exact":  `spec: {rules: [{from: [{source: {principals: [east.example/ns/shop/sa/cart]}}]}]}`,
		"Suffix": `spec: {rules: [{from: [{source: {principals: ["*east.example/ns/shop/sa/cart"]}}]}]}`,
		"Prefix": `spec: {rules: [{from: [{source: {principals: ["east.example/*"]}}]}]}`,
		"Domain": `spec: {rules: [{from: [{source: {trustDomains: [east.example]}}]}]}`,
	} {
		scenarios, err := security.Read(name, []byte("-- x policies --\n"+policies), w.replacer())
		if err != nil {
			t.Fatal(err)
		}
		w.apply(&scenarios[0])
		for forgery, leaf := range shown {
			if name == "Suffix" && forgery == "SubPath" {
				continue // it does end so
			}
			t.Run(name+"/"+forgery, func(t *testing.T) {
				// A NUL in the name is cut off by some readers, so what follows a genuine
				// beginning must not count for a prefix either.
				if forgery == "NULAfter" && (name == "Prefix" || name == "Domain") {
					t.Log("a name of that trust domain, whatever follows")
					return
				}
				status, _ := ask(t, w, leaf, "")
				if (status == security.Allowed) != (forgery == "Genuine") {
					t.Errorf("got %d", status)
				}
			})
		}
	}
	// What lets each forgery in, so that it is a forgery. Envoy can't send a name with
	// a NUL on in a header, and says 503 then; but the policy let it in.
	exact, err := security.Read("exact", []byte("-- x policies --\nspec: {rules: [{from: [{source: {principals: [east.example/ns/shop/sa/cart]}}]}]}"), w.replacer())
	if err != nil {
		t.Fatal(err)
	}
	for defence, in := range map[string][]string{
		"uri-names-only": {"DNSName"},
		"kind-of-names":  {"OtherName"},
		"whole-names":    {"NULAfter", "NULBefore"},
	} {
		w.without = []string{defence}
		w.apply(&exact[0])
		for _, forgery := range in {
			if status, _ := ask(t, w, shown[forgery], ""); status == security.Refused || status == security.Forbidden {
				t.Errorf("without %s, %s gets %d", defence, forgery, status)
			}
		}
	}
}

// ask the strict HTTP port with a certificate and header lines; the body has
// the headers that the application saw.
func ask(t *testing.T, w *world, leaf rig.Leaf, headers string) (int, string) {
	t.Helper()
	conn, err := w.pods[near].Dial(w.address("http-strict"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	secured := tls.Client(conn, leaf.TLS(t, "x", envoy.ALPNHTTP1))
	return exchange(secured, headers)
}

func exchange(conn io.ReadWriter, headers string) (int, string) {
	return exchangeWith(conn, "server", headers)
}

func exchangeWith(conn io.ReadWriter, host, headers string) (int, string) {
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n"+headers+"\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return security.Refused, ""
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// TestForgedHeaders is replay 24 (CVE-2023-27487, ISTIO-2024-006): what only
// proxies may say doesn't reach an application from a client without a certificate,
// and the identity in X-Forwarded-Client-Cert is the one of the connection.
func TestForgedHeaders(t *testing.T) {
	w := newWorld(t)
	// A private address doesn't make the client one to be believed.
	forged := "X-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Client-Cert: By=x;URI=" + eastCart + "\r\n"
	for _, name := range []string{"Original-Path", "Original-Host", "Internal", "External-Address", "Peer-Metadata", "Peer-Metadata-Id", "Decorator-Operation", "Retry-On", "Upstream-Rq-Timeout-Ms", "Downstream-Service-Cluster"} {
		forged += "X-Envoy-" + name + ": forged\r\n"
	}
	// heard is what reaches the application from a client without a certificate,
	// and from one that has another than it says.
	heard := func(without ...string) (fromPlain, fromOther string) {
		w.without = without
		w.apply(&security.Scenario{Name: "no policies"})
		conn, err := w.pods[near].Dial(w.address("http-permissive"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		deadline(conn)
		status, plain := exchange(conn, forged)
		if status != security.Allowed {
			t.Errorf("%d %s", status, plain)
		}
		status, other := ask(t, w, w.root.Leaf(westCart), "X-Forwarded-Client-Cert: By=x;URI="+eastCart+"\r\n")
		if status != security.Allowed {
			t.Errorf("%d %s", status, other)
		}
		return plain, other[strings.LastIndex(other, "By="):]
	}
	plain, other := heard()
	if strings.Contains(plain, "forged") || strings.Contains(plain, eastCart) || strings.Contains(plain, "X-Envoy-Internal") {
		t.Errorf("%s", plain)
	}
	if !strings.Contains(other, westCart) || strings.Contains(other, eastCart) {
		t.Errorf("%s", other)
	}
	if plain, _ := heard("header-removal"); !strings.Contains(plain, "forged") {
		t.Errorf("with no header removed it hears %s", plain)
	}
	if plain, _ := heard("nobody-internal"); !strings.Contains(plain, "X-Envoy-Internal") {
		t.Errorf("where private addresses are trusted it hears %s", plain)
	}
	if plain, other := heard("whose-certificate"); !strings.Contains(plain, eastCart) || !strings.Contains(other, eastCart) {
		t.Errorf("where clients are believed it hears %s and %s", plain, other)
	}
}
