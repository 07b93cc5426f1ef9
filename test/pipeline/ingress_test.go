// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

const ingressMesh = `
member east network=n1 trust=east.example
service shop/web vip=10.96.1.7 port=80/HTTP id=shop/web
endpoint shop/web:80 10.244.2.1:8080 plain
service shop/raw vip=10.96.1.8 port=443/TLS id=shop/raw
endpoint shop/raw:443 10.244.2.1:9443 plain
service shop/secure vip=10.96.1.9 port=80/HTTP
endpoint shop/secure:80 10.244.2.1:9443 plain
workload edge/gateway-1 10.244.2.9 sa=gateway in=8080/HTTP
`

// front is a real ingress gateway before a pod.
type front struct {
	t        *testing.T
	root     *rig.Root
	fabric   *rig.Fabric
	outside  *rig.Pod
	web      *rig.Pod
	gateway  *rig.Proxy
	mesh     *model.Mesh
	snapshot *snapshot.Snapshot
}

func newFront(t *testing.T, listeners []model.Listener, routings []*model.Routing, secrets ...*corev1.Secret) *front {
	t.Helper()
	f := &front{t: t, root: rig.NewRoot(t), mesh: mesh(t, ingressMesh), fabric: rig.New(t)}
	f.outside = f.fabric.Pod("outside", "client-1", "10.244.9.1")
	f.web = f.fabric.Pod("shop", "web-1", "10.244.2.1")
	echo(f.web, 8080)
	pod := f.fabric.Pod("edge", "gateway-1", "10.244.2.9")
	leaf := f.root.Leaf("spiffe://east.example/ns/edge/sa/gateway")
	f.gateway = pod.Envoy(rig.Options{
		Type: "router", Labels: map[string]string{"istio": "ingress"},
		Identity: "spiffe://east.example/ns/edge/sa/gateway", Leaf: &leaf,
	})
	f.mesh.Workloads[0].Labels = map[string]string{"istio": "ingress"}
	f.mesh.Workloads[0].Inbound[0].ServicePort = 80
	f.mesh.Gateways = []*model.Gateway{{
		Origin:   model.Origin{Kind: "Gateway", Namespace: "shop", Name: "front"},
		Selector: "istio=ingress", Listeners: listeners,
	}}
	f.mesh.Routings = routings
	f.mesh.Credentials = credential.Build(secrets, nil, nil).Credentials
	f.push(secrets...)
	return f
}

// push the mesh with these Secrets.
func (f *front) push(secrets ...*corev1.Secret) {
	f.t.Helper()
	m := *f.mesh
	m.Credentials = credential.Build(secrets, nil, nil).Credentials
	f.mesh = &m
	f.snapshot = snapshot.Build(f.mesh, f.snapshot)
	f.gateway.Push(f.snapshot)
}

// secret in the gateway's namespace.
func secret(name string, chain, key, ca []byte) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: name}, Data: map[string][]byte{
		"tls.crt": chain, "tls.key": key,
	}}
	if ca != nil {
		s.Data["ca.crt"] = ca
	}
	return s
}

func toWeb(hosts ...string) *model.Routing {
	return &model.Routing{
		Origin: model.Origin{Kind: "VirtualService", Namespace: "shop", Name: "web"}, Hosts: hosts,
		Gateways: []model.GatewayRef{{Namespace: "shop", Name: "front"}},
		HTTP:     []model.HTTPRule{{Destinations: []model.Destination{{Host: "web.shop.svc.cluster.local", Port: 80}}}},
	}
}

func https(name string, tls *model.ListenerTLS, hosts ...string) model.Listener {
	l := model.Listener{Name: name, Port: 8443, Protocol: model.ListenHTTPS, TLS: tls}
	for _, h := range hosts {
		l.Hosts = append(l.Hosts, model.ListenerHost{Host: h})
	}
	return l
}

func credentials(names ...string) []model.CredentialRef {
	var out []model.CredentialRef
	for _, n := range names {
		out = append(out, model.CredentialRef{Name: n})
	}
	return out
}

// call the gateway from outside, and return the status, the body and the
// certificate that it showed.
func (f *front) call(c *http.Client, url, host string) (status int, body string, shown []string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("X-Forwarded-Client-Cert", "URI=spiffe://forged")
	r.Header.Set("X-Envoy-Peer-Metadata", "forged")
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	resp, err := c.Do(r)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	if resp.TLS != nil {
		shown = resp.TLS.PeerCertificates[0].DNSNames
	}
	return resp.StatusCode, resp.Header.Get("Location") + string(b), shown
}

// client of a host, whoever verifies its certificate.
func (f *front) client(config *tls.Config) *http.Client {
	return &http.Client{
		Timeout:       eventually,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: config, ForceAttemptHTTP2: true,
			DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
				_, port, _ := net.SplitHostPort(address)
				return f.outside.Dial("10.244.2.9:" + port)
			},
		},
	}
}

func TestIngress(t *testing.T) {
	root, other := rig.NewRoot(t), rig.NewRoot(t)
	aChain, aKey := root.Server("a.example")
	bChain, bKey := root.Server("b.example", "*.b.example")
	mChain, mKey := root.Server("m.example", "o.example", "s.example")
	redirect := model.Listener{Name: "http", Port: 80, RedirectHTTPS: true, Hosts: []model.ListenerHost{{Host: "a.example"}}}
	plain := model.Listener{Name: "plain", Port: 8081, Hosts: []model.ListenerHost{{Host: "*"}}}
	raw := model.Listener{Name: "raw", Port: 8443, Protocol: model.ListenTLS, TLS: &model.ListenerTLS{Mode: model.PassthroughTLS}, Hosts: []model.ListenerHost{{Host: "raw.example"}}}
	passed := &model.Routing{
		Origin: model.Origin{Kind: "VirtualService", Namespace: "shop", Name: "raw"}, Hosts: []string{"raw.example"},
		Gateways: []model.GatewayRef{{Namespace: "shop", Name: "front"}},
		TLS: []model.TLSRule{{
			Matches:      []model.TLSMatch{{ServerNames: []string{"raw.example"}}},
			Destinations: []model.Destination{{Host: "raw.shop.svc.cluster.local", Port: 443}},
		}},
	}
	f := newFront(t, []model.Listener{
		redirect, plain, raw,
		https("a", &model.ListenerTLS{Credentials: credentials("a")}, "a.example"),
		https("b", &model.ListenerTLS{Credentials: credentials("b")}, "b.example", "*.b.example"),
		https("m", &model.ListenerTLS{Mode: model.MutualListenerTLS, Credentials: credentials("m")}, "m.example"),
		https("o", &model.ListenerTLS{Mode: model.OptionalMutualTLS, Credentials: credentials("m")}, "o.example"),
		https("s", &model.ListenerTLS{Mode: model.MutualListenerTLS, AllowInvalidClients: true, Credentials: credentials("m")}, "s.example"),
		https("missing", &model.ListenerTLS{Credentials: credentials("missing")}, "missing.example"),
		https("foreign", &model.ListenerTLS{Credentials: []model.CredentialRef{{Namespace: "bank", Name: "theirs"}}}, "foreign.example"),
	}, []*model.Routing{toWeb("a.example", "b.example", "deep.b.example", "m.example", "o.example", "s.example", "missing.example", "plain.example"), passed},
		secret("a", aChain, aKey, nil), secret("b", bChain, bKey, nil), secret("m", mChain, mKey, root.PEM()),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: "theirs"}, Data: map[string][]byte{"tls.crt": aChain, "tls.key": aKey}},
	)
	serveTLS(f.web, root.Pair("raw.example"))
	as := func(certificates ...tls.Certificate) *http.Client {
		return f.client(&tls.Config{RootCAs: root.Pool(), Certificates: certificates}) //nolint:gosec // the server's limits count
	}

	t.Run("Plain", func(t *testing.T) {
		status, body, _ := f.call(as(), "http://plain.example:8081/", "plain.example")
		if status != 200 || !strings.Contains(body, "pod=web-1") || strings.Contains(body, "forged") {
			t.Errorf("%d %s", status, body)
		}
		if !strings.Contains(body, "header X-Forwarded-For=192.0.2.1,10.244.9.1") {
			t.Errorf("the client's address is not told: %s", body)
		}
	})
	t.Run("UnknownHost", func(t *testing.T) {
		if status, body, _ := f.call(as(), "http://plain.example:8081/", "nobody.example"); status != 404 {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("TrailingDot", func(t *testing.T) {
		if status, body, _ := f.call(as(), "http://plain.example:8081/", "Plain.Example."); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("Redirect", func(t *testing.T) {
		status, body, _ := f.call(as(), "http://a.example:8080/x", "a.example")
		if status != 301 || body != "https://a.example/x" {
			t.Errorf("%d %s", status, body)
		}
	})
	for host, want := range map[string][]string{
		"a.example": {"a.example"}, "b.example": {"b.example", "*.b.example"}, "deep.b.example": {"b.example", "*.b.example"},
		"o.example": {"m.example", "o.example", "s.example"},
	} {
		t.Run("Simple "+host, func(t *testing.T) {
			status, body, shown := f.call(as(), "https://"+host+":8443/", host)
			if status != 200 || !slices.Equal(shown, want) || strings.Contains(body, "forged") {
				t.Errorf("%d %v %s", status, shown, body)
			}
		})
	}
	for _, host := range []string{"missing.example", "foreign.example", "unknown.example"} {
		t.Run("Closed "+host, func(t *testing.T) {
			if status, body, _ := f.call(f.client(&tls.Config{InsecureSkipVerify: true}), "https://"+host+":8443/", host); status != 0 { //nolint:gosec // nobody is to answer
				t.Errorf("%d %s", status, body)
			}
		})
	}
	for _, host := range []string{"m.example", "o.example"} {
		t.Run("Mutual "+host, func(t *testing.T) {
			status, body, _ := f.call(as(root.Pair()), "https://"+host+":8443/", host)
			if status != 200 || !strings.Contains(body, "xfcc=Hash=") || strings.Contains(body, "forged") {
				t.Errorf("%d %s", status, body)
			}
		})
		t.Run("MutualForeign "+host, func(t *testing.T) {
			if status, body, _ := f.call(as(other.Pair()), "https://"+host+":8443/", host); status != 0 {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	// With insecureSkipVerify a certificate is asked for all the same.
	for _, host := range []string{"m.example", "s.example"} {
		t.Run("MutualWithout "+host, func(t *testing.T) {
			if status, body, _ := f.call(as(), "https://"+host+":8443/", host); status != 0 {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	for name, pair := range map[string]tls.Certificate{"Known": root.Pair("client.example"), "Foreign": other.Pair("client.example"), "SelfSigned": selfSigned(t)} {
		t.Run("Unverified"+name, func(t *testing.T) {
			// Go's clients keep to themselves what the server's list of CAs doesn't have.
			show := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			status, body, _ := f.call(f.client(&tls.Config{RootCAs: root.Pool(), GetClientCertificate: show}), "https://s.example:8443/", "s.example") //nolint:gosec // the server's limits count
			// Whose it is the backend finds out: nobody vouches for names.
			if status != 200 || !strings.Contains(body, "Cert=") || strings.Contains(body, "Subject=") || strings.Contains(body, "forged") {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	t.Run("Passthrough", func(t *testing.T) {
		status, body, shown := f.call(as(), "https://raw.example:8443/", "raw.example")
		if status != 200 || !strings.Contains(body, "raw") || !slices.Equal(shown, []string{"raw.example"}) {
			t.Errorf("%d %v %s", status, shown, body)
		}
	})
	t.Run("Problems", func(t *testing.T) {
		var got []string
		for _, p := range f.snapshot.Problems() {
			got = append(got, fmt.Sprintf("%s %s %s", p.Name, p.Field, p.Reason))
		}
		want := []string{"front spec.servers[8].tls CredentialUnusable", "front spec.servers[9].tls CredentialUnusable"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("Swap", func(t *testing.T) {
		c := as()
		if status, body, _ := f.call(c, "https://a.example:8443/", "a.example"); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		listeners := f.gateway.Stat("listener_manager.listener_in_place_updated") + f.gateway.Stat("listener_manager.listener_modified")
		chain, key := root.Server("a.example", "new.example")
		f.push(secret("a", chain, key, nil), secret("b", bChain, bKey, nil), secret("m", mChain, mKey, root.PEM()))
		for end := time.Now().Add(eventually); ; {
			if _, _, shown := f.call(as(), "https://a.example:8443/", "a.example"); slices.Contains(shown, "new.example") {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the new certificate is not shown")
			}
		}
		status, _, shown := f.call(c, "https://a.example:8443/", "a.example")
		if status != 200 || slices.Contains(shown, "new.example") {
			t.Errorf("an open connection was not kept: %d %v", status, shown)
		}
		if now := f.gateway.Stat("listener_manager.listener_in_place_updated") + f.gateway.Stat("listener_manager.listener_modified"); now != listeners {
			t.Errorf("listeners were changed %d times for a certificate", now-listeners)
		}
	})
}

// selfSigned is a certificate that nobody but its owner vouches for.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "whoever"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS answers on port 9443 of a pod.
func serveTLS(p *rig.Pod, pair tls.Certificate) {
	serveTLSAs(p, &tls.Config{Certificates: []tls.Certificate{pair}}) //nolint:gosec // as it comes
}

func serveTLSAs(p *rig.Pod, config *tls.Config) {
	l := tls.NewListener(p.Listen("0.0.0.0:9443"), config)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "raw")
	})}
	go func() { _ = server.Serve(l) }()
}
