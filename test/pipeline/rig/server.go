// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Server is a certificate chain and key for DNS names, in PEM. A certificate
// for no name is a client's, whose common name is its serial number.
func (r *Root) Server(names ...string) (chain, key []byte) {
	r.t.Helper()
	private := newKey(r.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: time.Now().String()},
		DNSNames:     names,
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, private.Public(), r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		r.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// Pair is the same for Go's own TLS.
func (r *Root) Pair(names ...string) tls.Certificate {
	r.t.Helper()
	pair, err := tls.X509KeyPair(r.Server(names...))
	if err != nil {
		r.t.Fatal(err)
	}
	return pair
}

// PEM of the root.
func (r *Root) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.cert.Raw})
}

// Pool with the root alone.
func (r *Root) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.cert)
	return pool
}

// ListenUDP inside the pod.
func (p *Pod) ListenUDP(address string) net.PacketConn {
	p.t.Helper()
	var c net.PacketConn
	var err error
	p.ns.do(func() { c, err = new(net.ListenConfig).ListenPacket(p.t.Context(), "udp4", address) })
	if err != nil {
		p.t.Fatalf("listen in pod %s: %v", p.Name, err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// DialUDP from inside the pod.
func (p *Pod) DialUDP(address string) net.Conn {
	p.t.Helper()
	var c net.Conn
	var err error
	p.ns.do(func() { c, err = new(net.Dialer).DialContext(p.t.Context(), "udp4", address) })
	if err != nil {
		p.t.Fatalf("dial from pod %s: %v", p.Name, err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}
