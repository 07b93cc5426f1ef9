// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// entered are ServiceEntries of every resolution. Unknown hosts are refused, so
// that what arrives was sent there by an entry. Envoy's resolver answers
// localhost and names below it by itself.
const entered = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    accessLogFile: /dev/null
    accessLogEncoding: JSON
    accessLogFormat: '{"code": "%RESPONSE_CODE%", "of": {"host": "%REQ(:AUTHORITY)%"}}'
    meshMTLS: {minProtocolVersion: TLSV1_3}
    dnsRefreshRate: 5s
    protocolDetectionTimeout: 2s
---
apiVersion: v1
kind: Pod
metadata: {name: client-1, namespace: shop}
spec: {serviceAccountName: client, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.0.10}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-1, namespace: shop, labels: {app: reviews}}
spec: {serviceAccountName: reviews, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.0.20}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: static, namespace: shop}
spec:
  hosts: [static.example.com]
  addresses: [192.0.2.10]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 70, name: tcp, protocol: TCP, targetPort: 7070}]
  resolution: STATIC
  endpoints: [{address: 10.244.0.40}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: internal, namespace: shop}
spec:
  hosts: [selected.mesh]
  ports: [{number: 81, name: http, protocol: HTTP, targetPort: 8080}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: server-names, namespace: shop}
spec:
  hosts: [one.tls.example.com, "*.wild.example.com"]
  ports: [{number: 443, name: tls, protocol: TLS, targetPort: 9443}]
  resolution: STATIC
  endpoints: [{address: 10.244.0.40}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dns, namespace: shop}
spec:
  hosts: [dns.example.com]
  ports: [{number: 82, name: http, protocol: HTTP, targetPort: 8085}]
  resolution: DNS
  endpoints: [{address: localhost, locality: eu/eu-1, weight: 2}, {address: 127.0.0.2}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: round-robin, namespace: shop}
spec:
  hosts: [robin.example.com]
  ports: [{number: 83, name: http, protocol: HTTP}]
  resolution: DNS_ROUND_ROBIN
  endpoints: [{address: localhost, ports: {http: 8085}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: called, namespace: shop}
spec:
  hosts: ["*.called.example.com"]
  ports: [{number: 84, name: http, protocol: HTTP, targetPort: 8080}]
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: range, namespace: shop}
spec:
  hosts: [range.example.com]
  addresses: [10.244.0.16/28]
  ports: [{number: 7070, name: tcp, protocol: TCP}]
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: sniffed-range, namespace: shop}
spec:
  hosts: [sniffed.example.com]
  addresses: [198.51.100.0/24]
  ports: [{number: 85, name: any, targetPort: 8080}]
  resolution: STATIC
  endpoints: [{address: 10.244.0.40}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: by-host, namespace: shop}
spec:
  hosts: ["*.localhost"]
  ports: [{number: 8086, name: http, protocol: HTTP}, {number: 9446, name: tls, protocol: TLS}]
  resolution: DYNAMIC_DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: allocated, namespace: shop}
spec:
  hosts: [allocated.example.com]
  ports: [{number: 71, name: tcp, protocol: TCP, targetPort: 7070}]
  resolution: STATIC
  endpoints: [{address: 10.244.0.40}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: socket, namespace: shop}
spec:
  hosts: [socket.example.com]
  ports: [{number: 87, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: "unix://SOCKET"}]
`

// TestServiceEntries calls the hosts of entries through a real sidecar.
func TestServiceEntries(t *testing.T) {
	root, fabric := rig.NewRoot(t), rig.New(t)
	caller, meshed, outside := fabric.Pod("shop", "client-1", "10.244.0.10"), fabric.Pod("shop", "reviews-1", "10.244.0.20"), fabric.Pod("outside", "plain", "10.244.0.40")
	socket := listenUnix(t)
	m := built(t, []byte(strings.ReplaceAll(entered, "SOCKET", socket)), nil)
	for _, p := range m.Problems {
		t.Errorf("problem: %+v", p)
	}
	s := snapshot.Build(m, nil)
	for _, p := range s.Problems() {
		t.Errorf("problem: %+v", p)
	}
	for pod, account := range map[*rig.Pod]string{caller: "client", meshed: "reviews"} {
		leaf := root.Leaf("spiffe://cluster.local/ns/shop/sa/" + account)
		pod.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://cluster.local/ns/shop/sa/" + account, Leaf: &leaf, Redirect: true}).Push(s)
	}
	echo(outside, 8080)
	echo(meshed, 8080)
	echo(caller, 8085)
	echo(caller, 8086)
	greet(outside, 7070)
	greet(meshed, 7070)
	answerTLS(t, outside, "0.0.0.0:9443", root.Pair("one.tls.example.com", "deep.wild.example.com"))
	answerTLS(t, caller, "0.0.0.0:9446", root.Pair("web.localhost"))

	c := client(caller)
	for name, call := range map[string]struct{ address, host, want string }{
		"Static":         {"192.0.2.10:80", "static.example.com", "pod=plain"},
		"StaticByHost":   {"192.0.2.99:80", "static.example.com", "pod=plain"},
		"Selected":       {"192.0.2.99:81", "selected.mesh", "URI=spiffe://cluster.local/ns/shop/sa/client"},
		"DNS":            {"192.0.2.99:82", "dns.example.com", "pod=client-1"},
		"DNSRoundRobin":  {"192.0.2.99:83", "robin.example.com", "pod=client-1"},
		"AsCalled":       {"10.244.0.40:84", "a.called.example.com", "pod=plain"},
		"SniffedInRange": {"198.51.100.7:85", "sniffed.example.com", "pod=plain"},
		"ByHost":         {"192.0.2.99:8086", "web.localhost:8086", "pod=client-1"},
		"UnixSocket":     {"192.0.2.99:87", "socket.example.com", "over a socket"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := get(t, c, call.address, call.host); status != 200 || !strings.Contains(body, call.want) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	t.Run("TCP", func(t *testing.T) { converse(t, caller, "192.0.2.10:70", "plain") })
	t.Run("TCPToAllocatedAddress", func(t *testing.T) {
		allocated, _ := m.Service("allocated.example.com")
		converse(t, caller, allocated.Service.Addresses[0].String()+":71", "plain")
	})
	t.Run("TCPInRange", func(t *testing.T) { converse(t, caller, "10.244.0.20:7070", "reviews-1") })
	t.Run("OutsideOfRange", func(t *testing.T) {
		conn, err := caller.Dial("10.244.0.40:7070")
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if b, _ := io.ReadAll(conn); len(b) > 0 {
			t.Errorf("got an answer: %s", b)
		}
	})
	t.Run("UnknownHost", func(t *testing.T) {
		if status, body := get(t, c, "192.0.2.99:80", "unknown.example.com"); status != 502 {
			t.Errorf("%d %s", status, body)
		}
	})
	for name, call := range map[string]struct{ address, sni string }{
		"ServerName":         {"192.0.2.99:443", "one.tls.example.com"},
		"WildcardServerName": {"192.0.2.99:443", "deep.wild.example.com"},
		"LookedUpServerName": {"192.0.2.99:9446", "web.localhost"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := caller.Dial(call.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			secure := tls.Client(conn, &tls.Config{ServerName: call.sni, RootCAs: root.Pool(), MinVersion: tls.VersionTLS12})
			_ = secure.SetDeadline(time.Now().Add(eventually))
			if b, err := io.ReadAll(secure); err != nil || string(b) != "served "+call.sni {
				t.Errorf("%v %q", err, b)
			}
		})
	}
}

// answerTLS tells each client which server name it asked for.
func answerTLS(t *testing.T, p *rig.Pod, address string, pair tls.Certificate) {
	l := p.Listen(address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
				defer func() { _ = secure.Close() }()
				if secure.HandshakeContext(t.Context()) == nil {
					_, _ = io.WriteString(secure, "served "+secure.ConnectionState().ServerName)
					// To close before everything is read would reset the connection.
					_ = secure.CloseWrite()
					_ = secure.SetReadDeadline(time.Now().Add(eventually))
					_, _ = io.Copy(io.Discard, secure)
				}
			}()
		}
	}()
}

// listenUnix answers HTTP on a socket that any user may connect to.
func listenUnix(t *testing.T) string {
	dir, err := os.MkdirTemp("", "entry")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for name, mode := range map[string]os.FileMode{dir: 0o711, path: 0o777} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "over a socket")
	})}
	go func() { _ = server.Serve(l) }()
	return path
}
