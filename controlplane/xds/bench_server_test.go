// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/authn"
)

// crowdNode is what a sidecar says of itself.
func crowdNode(p crowdProxy) *corev3.Node {
	meta, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": p.Namespace, "NAME": p.Pod, "SERVICE_ACCOUNT": p.Account, "CLUSTER_ID": "west", "NETWORK": "west",
		"MESH_ID": "town", "ISTIO_VERSION": "1.31.0", "INSTANCE_IPS": "10.0.0.1", "WORKLOAD_NAME": p.Account,
		"LABELS": map[string]any{"app": p.Account},
		"OWNER":  "kubernetes://apis/apps/v1/namespaces/" + p.Namespace + "/deployments/" + p.Account,
	})
	if err != nil {
		panic(err)
	}
	return &corev3.Node{
		Id:       fmt.Sprintf("sidecar~10.0.0.1~%s.%s~%s.svc.cluster.local", p.Pod, p.Namespace, p.Namespace),
		Metadata: meta, UserAgentName: "envoy",
	}
}

// fromHeaders believes what a caller says; tests of the benchmark's kind have no
// other use for credentials.
type fromHeaders struct{}

func (fromHeaders) Authenticate(ctx context.Context) (*authn.Caller, error) {
	md, _ := grpcmetadata.FromIncomingContext(ctx)
	ns, sa := md.Get("ns"), md.Get("sa")
	if len(ns) == 0 || len(sa) == 0 {
		return nil, errors.New("no headers")
	}
	id, err := spiffeid.FromString("spiffe://west.example/ns/" + ns[0] + "/sa/" + sa[0])
	return &authn.Caller{Identity: id, Namespace: ns[0], ServiceAccount: sa[0]}, err
}

// venue is a gRPC server over TLS on the loopback, with a crowd.
type venue struct {
	t       testing.TB
	written *atomic.Int64 // bytes on the wire, from the server
	orders  *json.Encoder
	answers *json.Decoder
	address string
	roots   []byte
}

// countingListener counts what is written to its connections.
type countingListener struct {
	net.Listener
	written *atomic.Int64
}

type countingConn struct {
	net.Conn
	written *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.written}, err
}

func (c countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

func openVenue(t testing.TB, register func(*grpc.Server)) *venue {
	t.Helper()
	cert, roots := selfSigned(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &venue{t: t, written: &atomic.Int64{}, address: l.Addr().String(), roots: roots}
	g := grpc.NewServer(append(ServerOptions(), grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})))...)
	register(g)
	served := make(chan struct{})
	go func() { _ = g.Serve(countingListener{l, v.written}); close(served) }()

	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), crowdEnv+"=1")
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	v.orders, v.answers = json.NewEncoder(stdin), json.NewDecoder(stdout)
	t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		_ = c.Wait()
		g.Stop()
		<-served
	})
	return v
}

func (v *venue) order(o order) {
	v.t.Helper()
	if err := v.orders.Encode(o); err != nil {
		v.t.Fatal(err)
	}
}

func (v *venue) answer() answer {
	v.t.Helper()
	var a answer
	if err := v.answers.Decode(&a); err != nil {
		v.t.Fatalf("crowd: %v", err)
	}
	if a.Err != "" {
		v.t.Fatalf("crowd: %s", a.Err)
	}
	return a
}

// connect so many proxies of a town and wait until they have everything.
func (v *venue) connect(tw *town, n int) answer {
	v.t.Helper()
	o := order{Do: "connect", Address: v.address, Roots: v.roots}
	for i := range n {
		name, ns, account := tw.pod(i)
		o.Proxies = append(o.Proxies, crowdProxy{Pod: name, Namespace: ns, Account: account})
	}
	v.order(o)
	return v.answer()
}

// newServer for a benchmark.
func newServer(t testing.TB) *Server {
	t.Helper()
	s, err := New(Options{Authenticator: fromHeaders{}, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func selfSigned(t testing.TB) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "istiod"}, DNSNames: []string{"istiod"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// memory of this process in bytes, by its name in /proc: VmRSS or VmHWM.
func memory(t testing.TB, name string) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name+":" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
