// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// pair of a chain and a key in PEM.
func pair(t *testing.T, chain, key []byte) tls.Certificate {
	t.Helper()
	p, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// with a further key of a Secret.
func with(s *corev1.Secret, key string, value []byte) *corev1.Secret {
	s.Data[key] = value
	return s
}

// TestRevocation: certificates on the list beside the CA are refused, of callers
// at a gateway and of servers that it calls; and a gateway staples what its
// Secret has of OCSP.
func TestRevocation(t *testing.T) {
	root := rig.NewRoot(t)
	chain, key := root.Server("m.example", "s.example")
	good, goodKey := root.Server()
	bad, badKey := root.Server()
	server, serverKey := root.Server("secure.example")
	staple := root.Staple(chain)
	toSecure := toWeb("secure.example")
	toSecure.Name = "secure"
	toSecure.HTTP[0].Destinations[0].Host = "secure.shop.svc.cluster.local"
	front := with(secret("m", chain, key, root.PEM()), "ca.crl", root.Revoke(bad))
	stapled := with(secret("s", chain, key, nil), "tls.ocsp-staple", staple)
	upstream := func(revoked ...[]byte) *corev1.Secret {
		return with(secret("client", good, goodKey, root.PEM()), "ca.crl", root.Revoke(revoked...))
	}
	f := newFront(t, []model.Listener{
		https("m", &model.ListenerTLS{Mode: model.MutualListenerTLS, Credentials: credentials("m")}, "m.example"),
		https("s", &model.ListenerTLS{Credentials: credentials("s")}, "s.example"),
		{Name: "plain", Port: 8081, Hosts: []model.ListenerHost{{Host: "*"}}},
	}, []*model.Routing{toWeb("m.example", "s.example"), toSecure}, front, stapled, upstream())
	serveTLS(f.web, pair(t, server, serverKey))
	as := func(certificates ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: root.Pool(), Certificates: certificates} //nolint:gosec // the server's limits count
	}
	t.Run("Caller", func(t *testing.T) {
		if status, body, _ := f.call(f.client(as(pair(t, good, goodKey))), "https://m.example:8443/", "m.example"); status != 200 {
			t.Errorf("%d %s", status, body)
		}
		if status, body, _ := f.call(f.client(as(pair(t, bad, badKey))), "https://m.example:8443/", "m.example"); status != 0 {
			t.Errorf("a revoked certificate is taken: %d %s", status, body)
		}
	})
	t.Run("Staple", func(t *testing.T) {
		c, err := f.outside.Dial("10.244.2.9:8443")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		config := as()
		config.ServerName = "s.example"
		conn := tls.Client(c, config)
		_ = conn.SetDeadline(time.Now().Add(eventually))
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(conn.ConnectionState().OCSPResponse, staple) {
			t.Errorf("stapled: %d bytes, want %d", len(conn.ConnectionState().OCSPResponse), len(staple))
		}
	})
	policy := func(p *model.ClientTLS) {
		m := *f.mesh
		m.Policies = []*model.DestinationPolicy{{
			Origin: model.Origin{Kind: "DestinationRule", Namespace: "shop", Name: "secure"}, Host: "secure.shop.svc.cluster.local",
			// A new connection for each request: what is open was verified before.
			Policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{TLS: p, Connections: &model.ConnectionPool{MaxRequestsPerConn: 1}}},
		}}
		f.mesh = &m
	}
	asked := func(t *testing.T, want int) {
		t.Helper()
		until(t, fmt.Sprintf("%d is answered", want), func() bool {
			status, _, _ := f.call(f.client(nil), "http://x:8081/", "secure.example")
			return status == want
		})
	}
	credential := &model.ClientTLS{Mode: model.SimpleTLS, SNI: "secure.example", SubjectNames: []string{"secure.example"}, Credential: &model.CredentialRef{Name: "client"}}
	for _, c := range []struct {
		name    string
		revoked [][]byte
		status  int
	}{{"Server", nil, 200}, {"ServerRevoked", [][]byte{server}, 503}, {"AnotherRevoked", [][]byte{bad}, 200}} {
		t.Run(c.name, func(t *testing.T) {
			policy(credential)
			f.push(front, stapled, upstream(c.revoked...))
			asked(t, c.status)
		})
	}
	// As a BackendTLSPolicy has it: the CA stands in the policy.
	for _, c := range []struct {
		name, host string
		ca         []byte
		status     int
	}{
		{"CAInPolicy", "secure.example", root.PEM(), 200},
		{"AnotherCAInPolicy", "secure.example", rig.NewRoot(t).PEM(), 503},
		{"AnotherName", "other.example", root.PEM(), 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy(&model.ClientTLS{Mode: model.SimpleTLS, SNI: "secure.example", SubjectNames: []string{c.host}, CA: c.ca})
			f.push(front, stapled, upstream())
			asked(t, c.status)
		})
	}
	t.Run("ProxyProtocol", func(t *testing.T) {
		m := *f.mesh
		w := *m.Workloads[0]
		w.Topology = &model.Topology{ProxyProtocol: true}
		m.Workloads = []*model.Workload{&w}
		f.mesh = &m
		f.push(front, stapled, upstream())
		for _, head := range []string{"PROXY TCP4 192.0.2.77 192.0.2.1 1234 443\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x4d\xc0\x00\x02\x01\x04\xd2\x01\xbb"} {
			answer := raw(t, f.outside, "10.244.2.9:8081", head+"GET / HTTP/1.1\r\nHost: m.example\r\nConnection: close\r\n\r\n")
			if !bytes.Contains(answer, []byte("X-Forwarded-For=192.0.2.77")) {
				t.Errorf("the caller's address isn't the one that was told: %s", answer)
			}
		}
		if answer := raw(t, f.outside, "10.244.2.9:8081", "GET / HTTP/1.1\r\nHost: m.example\r\nConnection: close\r\n\r\n"); bytes.Contains(answer, []byte("pod=web")) {
			t.Errorf("a connection that tells nothing is answered: %s", answer)
		}
	})
}

// raw bytes to an address, and all that comes back.
func raw(t *testing.T, from *rig.Pod, address, bytes string) []byte {
	t.Helper()
	conn, err := from.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(eventually))
	_, _ = io.WriteString(conn, bytes)
	b, _ := io.ReadAll(conn)
	return b
}

// TestOriginationByFiles: a sidecar speaks TLS to a server by files of its pod.
func TestOriginationByFiles(t *testing.T) {
	y := newYard(t, "a")
	server, serverKey := y.root.Server("secure.example")
	own, ownKey := y.root.Server()
	serveTLSAs(y.pods["a"].pod, &tls.Config{ //nolint:gosec // as it comes
		Certificates: []tls.Certificate{pair(t, server, serverKey)}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: y.root.Pool(),
	})
	file := y.caller.File
	ca, other := file("ca.pem", y.root.PEM()), file("other.pem", rig.NewRoot(t).PEM())
	files := fmt.Sprintf("clientCertificate: %s, privateKey: %s, ", file("own.pem", own), file("own-key.pem", ownKey))
	none, revoked := file("none.crl", y.root.Revoke()), file("revoked.crl", y.root.Revoke(server))
	cases := []struct {
		name, tls string
		status    int
	}{
		{"simple", "mode: SIMPLE, caCertificates: " + ca, 200},
		{"untrusted", "mode: SIMPLE, caCertificates: " + other, 503},
		{"unverified", "mode: SIMPLE, insecureSkipVerify: true", 200},
		{"misnamed", "mode: SIMPLE, subjectAltNames: [other.example], caCertificates: " + ca, 503},
		{"mutual", "mode: MUTUAL, subjectAltNames: [secure.example], " + files + "caCertificates: " + ca, 200},
		{"listed", "mode: MUTUAL, " + files + "caCrl: " + none + ", caCertificates: " + ca, 200},
		{"revoked", "mode: MUTUAL, " + files + "caCrl: " + revoked + ", caCertificates: " + ca, 503},
	}
	lines, objects := "", ""
	for i, c := range cases {
		lines += service(c.name, i+1, "80/HTTP", "10.244.1.1:9443")
		objects += rule(c.name, "{tls: {sni: secure.example, "+c.tls+"}}")
	}
	y.push(lines, objects)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if r := y.get(c.name); r.status != c.status {
				t.Errorf("%d %s, want %d", r.status, r.body, c.status)
			}
		})
	}
}
