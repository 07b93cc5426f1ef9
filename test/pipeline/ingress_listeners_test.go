// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

func api(l model.Listener, hosts ...string) model.Listener {
	for _, h := range hosts {
		l.Hosts = append(l.Hosts, model.ListenerHost{Host: h})
	}
	return l
}

// answering is a routing that answers by itself, at one listener.
func answering(name, listener, host, prefix string) *model.Routing {
	return &model.Routing{
		Origin: model.Origin{Kind: "HTTPRoute", Namespace: "shop", Name: name}, Hosts: []string{host}, BySpecificity: true,
		Gateways: []model.GatewayRef{{Namespace: "shop", Name: "front", Listener: listener}},
		HTTP: []model.HTTPRule{{
			Matches: []model.HTTPMatch{{Path: model.Match{Kind: model.MatchPathPrefix, Value: prefix}}},
			Direct:  &model.DirectResponse{Status: 200, Body: []byte(name)},
		}},
	}
}

// TestIngressIsolation: a request belongs to one listener of a Gateway of the
// Gateway API, the one whose host is nearest.
func TestIngressIsolation(t *testing.T) {
	root := rig.NewRoot(t)
	chain, key := root.Server("a.example", "b.example", "c.example")
	secured := &model.ListenerTLS{Credentials: credentials("all")}
	f := newFront(t, []model.Listener{
		api(model.Listener{Name: "any", Port: 8080}, "*"),
		api(model.Listener{Name: "wild", Port: 8080}, "*.wild.example"),
		api(model.Listener{Name: "exact", Port: 8080}, "exact.wild.example"),
		https("a", secured, "a.example"),
		https("b", secured, "b.example"),
	}, []*model.Routing{
		answering("any", "any", "*", "/"),
		answering("stolen", "any", "x.wild.example", "/"),
		answering("wild", "wild", "*.wild.example", "/wild"),
		answering("narrow", "wild", "n.wild.example", "/narrow"),
		answering("a", "a", "a.example", "/"),
		answering("b", "b", "b.example", "/"),
	}, secret("all", chain, key, nil))
	for _, g := range f.mesh.Gateways {
		g.API = true
	}
	m := *f.mesh
	gateway := *m.Gateways[0]
	m.Gateways = []*model.Gateway{&gateway}
	f.mesh = &m
	f.push(secret("all", chain, key, nil))

	for name, c := range map[string]struct {
		url, host string
		status    int
		body      string
	}{
		"Any":             {"http://x:8080/", "other.example", 200, "any"},
		"Wildcard":        {"http://x:8080/wild", "x.wild.example", 200, "wild"},
		"WildcardElse":    {"http://x:8080/", "x.wild.example", 404, ""},
		"Narrow":          {"http://x:8080/narrow", "n.wild.example", 200, "narrow"},
		"NarrowFallsBack": {"http://x:8080/wild", "n.wild.example", 200, "wild"},
		"ExactHasNothing": {"http://x:8080/wild", "exact.wild.example", 404, ""},
		"WithPort":        {"http://x:8080/wild", "x.wild.example:8080", 200, "wild"},
		"OwnHost":         {"https://a.example:8443/", "a.example", 200, "a"},
		"AnothersHost":    {"https://a.example:8443/", "b.example", 421, ""},
		"NobodysHost":     {"https://a.example:8443/", "c.example", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, _ := f.call(f.client(&tls.Config{RootCAs: root.Pool()}), c.url, c.host) //nolint:gosec // the server's limits count
			if status != c.status || body != c.body {
				t.Errorf("%d %q, want %d %q", status, body, c.status, c.body)
			}
		})
	}
}

// TestIngressListeners are the protocols that are not HTTP over TLS with a
// certificate of the gateway's own.
func TestIngressListeners(t *testing.T) {
	root := rig.NewRoot(t)
	chain, key := root.Server("tls.example", "h3.example")
	to := func(name, listener string, rule model.TCPRule) *model.Routing {
		return &model.Routing{
			Origin: model.Origin{Kind: "VirtualService", Namespace: "shop", Name: name}, Hosts: []string{"*"},
			Gateways: []model.GatewayRef{{Namespace: "shop", Name: "front", Listener: listener}}, TCP: []model.TCPRule{rule},
		}
	}
	web := []model.Destination{{Host: "web.shop.svc.cluster.local", Port: 80}}
	h3 := https("h3", &model.ListenerTLS{Credentials: credentials("tls")}, "h3.example")
	h3.HTTP3 = true
	// UDP has one listener a port: where somebody else has it, HTTP/2 alone serves.
	beside := https("h2", &model.ListenerTLS{Credentials: credentials("tls")}, "h3.example")
	beside.Port, beside.HTTP3 = 8446, true
	egress := model.Listener{Name: "egress", Port: 8444, Protocol: model.ListenHTTPS, TLS: &model.ListenerTLS{Mode: model.MeshListenerTLS}, Hosts: []model.ListenerHost{{Host: "web.example"}}}
	requests := toWeb("web.example", "h3.example")
	f := newFront(t, []model.Listener{
		{Name: "tcp", Port: 9000, Protocol: model.ListenTCP},
		{Name: "tls", Port: 8443, Protocol: model.ListenTLS, TLS: &model.ListenerTLS{Credentials: credentials("tls")}, Hosts: []model.ListenerHost{{Host: "tls.example"}}},
		h3, egress,
		{Name: "admin", Port: 15000},
		{Name: "second", Port: 9000},
		{Name: "game", Port: 8446, Protocol: model.ListenUDP},
		beside,
	}, []*model.Routing{to("tcp", "tcp", model.TCPRule{Destinations: web}), to("tls", "tls", model.TCPRule{Destinations: web}), requests},
		secret("tls", chain, key, nil))

	t.Run("TCP", func(t *testing.T) {
		if status, body, _ := f.call(f.client(nil), "http://x:9000/", "whatever"); status != 200 || !strings.Contains(body, "pod=web-1") {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("TLSEndedAsBytes", func(t *testing.T) {
		c, err := f.outside.Dial("10.244.2.9:8443")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		conn := tls.Client(c, &tls.Config{RootCAs: root.Pool(), ServerName: "tls.example"}) //nolint:gosec // the server's limits count
		_ = conn.SetDeadline(time.Now().Add(eventually))
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
			t.Errorf("%v %q", err, line)
		}
	})
	t.Run("HTTP3Announced", func(t *testing.T) {
		c := f.client(&tls.Config{RootCAs: root.Pool()}) //nolint:gosec // the server's limits count
		r, err := c.Get("https://h3.example:8443/")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if got := r.Header.Get("Alt-Svc"); got != `h3=":8443"; ma=86400` || r.StatusCode != http.StatusOK {
			t.Errorf("%d alt-svc %q", r.StatusCode, got)
		}
		if dump := f.gateway.Get("/listeners"); !strings.Contains(dump, "udp_0.0.0.0_8443") {
			t.Errorf("nobody listens for QUIC: %s", dump)
		}
	})
	t.Run("HTTP3BesideUDP", func(t *testing.T) {
		c := f.client(&tls.Config{RootCAs: root.Pool()}) //nolint:gosec // the server's limits count
		r, err := c.Get("https://h3.example:8446/")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if got := r.Header.Get("Alt-Svc"); got != "" || r.StatusCode != http.StatusOK {
			t.Errorf("%d alt-svc %q", r.StatusCode, got)
		}
		dump := f.gateway.Get("/listeners")
		if strings.Count(dump, "8446") != 2 { // the name and the address of the one over TCP
			t.Errorf("somebody listens for QUIC: %s", dump)
		}
	})
	t.Run("EgressWithIdentity", func(t *testing.T) {
		leaf := f.root.Leaf("spiffe://east.example/ns/shop/sa/client")
		answer, err := overTLSFor(t, f.outside, "10.244.2.9:8444", "web.example", leaf.TLS(t, "web.example", "istio-http/1.1"))
		if err != nil || !strings.Contains(answer, "URI=spiffe://east.example/ns/shop/sa/client") {
			t.Errorf("%v %s", err, answer)
		}
	})
	for name, leaf := range map[string]rig.Leaf{"Foreign": rig.NewRoot(t).Leaf("spiffe://east.example/ns/shop/sa/client"), "Nobody": f.root.Leaf("")} {
		t.Run("Egress"+name, func(t *testing.T) {
			if answer, err := overTLSFor(t, f.outside, "10.244.2.9:8444", "web.example", leaf.TLS(t, "web.example", "istio-http/1.1")); err == nil {
				t.Errorf("got an answer: %s", answer)
			}
		})
	}
	t.Run("Problems", func(t *testing.T) {
		var got []string
		for _, p := range f.snapshot.Problems() {
			got = append(got, p.Field+" "+p.Reason)
		}
		if s := strings.Join(got, ", "); s != "spec.servers[4].port ReservedPort, spec.servers[5].port PortConflict, spec.servers[7].port PortConflict" {
			t.Error(s)
		}
	})
}

// overTLSFor sends one request for a host.
func overTLSFor(t *testing.T, from *rig.Pod, address, host string, config *tls.Config) (string, error) {
	t.Helper()
	conn, err := from.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(eventually))
	c := tls.Client(conn, config)
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")); err != nil {
		return "", err
	}
	var b strings.Builder
	_, err = bufio.NewReader(c).WriteTo(&b)
	if b.Len() > 0 {
		err = nil
	}
	if b.Len() == 0 && err == nil {
		err = io.EOF
	}
	return b.String(), err
}
