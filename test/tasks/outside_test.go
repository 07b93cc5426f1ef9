// SPDX-License-Identifier: Apache-2.0

package tasks_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// nginxHost is a server that wants to see certificates.
const nginxHost = "my-nginx.mesh-external.svc.cluster.local"

// serveOutside: a server for all names of the world, a resolver of them, a
// forward proxy, and a server that asks for certificates.
func (w *world) serveOutside() {
	p := w.pods["outside"]
	serve(p.Listen("0.0.0.0:80"), http.HandlerFunc(w.site))
	// A certificate for the asked name: which one it is does not matter outside.
	certificate := func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair := w.public.Pair(h.ServerName)
		return &pair, nil
	}
	secured := func(l net.Listener, ask tls.ClientAuthType) {
		config := &tls.Config{GetCertificate: certificate, NextProtos: []string{"h2", "http/1.1"}, ClientAuth: ask, ClientCAs: w.public.Pool()} //nolint:gosec // as it comes
		serve(tls.NewListener(l, config), http.HandlerFunc(w.site))
	}
	secured(p.Listen("0.0.0.0:443"), tls.NoClientCert)
	secured(w.pods["nginx"].Listen("0.0.0.0:443"), tls.RequireAndVerifyClientCert)
	secured(w.pods["nginx"].Listen("0.0.0.0:31443"), tls.RequireAndVerifyClientCert)
	go accept(p.Listen("0.0.0.0:3128"), w.forward)
	server := &dns.Server{PacketConn: p.ListenUDP("0.0.0.0:53"), Handler: dns.HandlerFunc(resolve)}
	go func() { _ = server.ActivateAndServe() }()
	w.t.Cleanup(func() { _ = server.Shutdown() })
}

// site says what it saw. edition.cnn.com wants to be asked by TLS.
func (w *world) site(rw http.ResponseWriter, r *http.Request) {
	if r.TLS == nil && r.Host == "edition.cnn.com" {
		http.Redirect(rw, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
		return
	}
	if seconds, ok := strings.CutPrefix(r.URL.Path, "/delay/"); ok && seconds == "5" {
		wait(r.Context(), 5*time.Second)
	}
	_, _ = io.WriteString(rw, "outside "+w.told(r))
}

// resolve every name to the server outside, as far as it has an IPv4 address.
func resolve(rw dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	if q.Question[0].Qtype == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
			A:   net.ParseIP(addressOf(strings.TrimSuffix(q.Question[0].Name, "."))),
		}}
	}
	_ = rw.WriteMsg(m)
}

// addressOf a name of the world outside.
func addressOf(host string) string {
	if host == nginxHost {
		return "10.244.8.2"
	}
	return outsideAddress
}

// forward is an HTTPS proxy: it opens a tunnel to the host of a CONNECT.
func (w *world) forward(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil || r.Method != http.MethodConnect {
		return
	}
	_, port, _ := net.SplitHostPort(r.Host)
	out, err := w.pods["outside"].Dial(net.JoinHostPort(outsideAddress, port))
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nX-Proxy: squid\r\n\r\n")
	go func() { _, _ = io.Copy(out, in) }()
	_, _ = io.Copy(c, out)
}
