// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

var errStillAnswers = errors.New("it still answers")

// dialControlPlane calls a member's istiod with a token as any client could and
// returns the code of the answer.
func dialControlPlane(t *testing.T, cluster, service, token string) string {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(kubectl(t, cluster, "-n", "istio-system", "get", "configmap", "istio-ca-root-cert", "-o", `jsonpath={.data.root-cert\.pem}`))) {
		t.Fatal("no root in ConfigMap istio-ca-root-cert")
	}
	conn, err := grpc.NewClient("passthrough:///"+forward(t, cluster, "istio-system", "service/istiod", "15012"),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "istiod.istio-system.svc"})),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	if service == "csr" {
		_, err = securityv1alpha1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{Csr: csr(t)})
		return status.Code(err).String()
	}
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return status.Code(err).String()
	}
	// The server may have ended the stream by now; why is told by Recv.
	_ = stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node:    &corev3.Node{Id: "sidecar~10.0.0.1~x.shop~shop.svc.cluster.local"},
		TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	})
	_, err = stream.Recv()
	return status.Code(err).String()
}

func csr(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// forward forwards a loopback port to a pod or service until the test ends, and returns its address.
func forward(t *testing.T, cluster, namespace, target, port string) string {
	t.Helper()
	cmd := command(t.Context(), "kubectl", "--kubeconfig", kubeconfig(cluster), "-n", namespace, "port-forward", target, ":"+port)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		// Forwarding from 127.0.0.1:40321 -> 15012
		if rest, ok := strings.CutPrefix(scanner.Text(), "Forwarding from 127.0.0.1:"); ok {
			local, _, _ := strings.Cut(rest, " ")
			go func() { // drain, so that kubectl never blocks
				for scanner.Scan() {
					continue
				}
			}()
			return "127.0.0.1:" + local
		}
	}
	t.Fatalf("port-forward to %s of %s ended before it began", target, cluster)
	return ""
}
