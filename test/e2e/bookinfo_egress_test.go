// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

const googleapis = "www.googleapis.com"

// Version 2 of details asks Google's books service, in plaintext; by
// egress-rule-google-apis.yaml its sidecar sends that on as TLS. A stand-in in a
// namespace without a mesh is Google, and an entry of the pod's hosts file is
// the world's DNS; the sidecar verifies the stand-in by the authorities of the
// pod, in which the test's one is put.
func (b *bookinfo) egress(t *testing.T) {
	apply(t, "west", fmt.Sprintf(booksAuthority, indent(b.authority, "    ")))
	address := kubectl(t, "west", "-n", outsideNamespace, "get", "pod", "-l", "app=books", "-o", "jsonpath={.items[0].status.podIP}")

	b.config(t, "networking/bookinfo-gateway.yaml", "networking/destination-rule-all.yaml", "platform/kube/bookinfo-details-v2.yaml")
	b.kubectl(t, "west", "patch", "deployment", "details-v2", "--type=merge", "-p", fmt.Sprintf(
		`{"spec":{"template":{"metadata":{"annotations":{
			"sidecar.istio.io/userVolume":"{\"authority\":{\"configMap\":{\"name\":\"books-authority\"}}}",
			"sidecar.istio.io/userVolumeMount":"{\"authority\":{\"mountPath\":\"/etc/ssl/certs\"}}"}},
		"spec":{"hostAliases":[{"ip":%q,"hostnames":[%q]}]}}}}`, address, googleapis))
	b.kubectl(t, "west", "rollout", "status", "deployment/details-v2", "--timeout=10m")

	v := b.visitor(t, "")
	b.config(t, "networking/virtual-service-details-v2.yaml")
	answers := func(status int, text string) func() error {
		return func() error {
			p, err := v.see(t.Context(), "/api/v1/products/0")
			if err == nil && (p.status != status || !strings.Contains(p.body, text)) {
				err = fmt.Errorf("status %d: %s", p.status, p.body)
			}
			return err
		}
	}
	// The stand-in answers TLS only.
	eventually(t, patience, "plaintext reaches no book service", answers(400, "product details are currently unavailable"))

	b.config(t, "networking/egress-rule-google-apis.yaml")
	eventually(t, patience, "the book service answers over TLS", answers(200, " as "+googleapis))
	inARow(t, 25, "the book service answers", answers(200, `"ISBN-10":"0486424618"`))
}

// outside makes the stand-in, in a namespace without a mesh. Its pod is also a
// client outside the mesh.
func (b *bookinfo) outside(t *testing.T) {
	t.Helper()
	var certificate, key string
	b.authority, certificate, key = bookStandIn(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	objects := fmt.Sprintf(booksOutside, indent(certificate, "    "), indent(key, "    "))
	if _, err := run(ctx, objects, "kubectl", "--kubeconfig", kubeconfig("west"), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "west", "-n", outsideNamespace, "rollout", "status", "deployment/books", "--timeout=10m")
}

// bookStandIn makes an authority, and a certificate of it for Google's name, as PEM.
func bookStandIn(t *testing.T) (authority, certificate, key string) {
	t.Helper()
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: googleapis}, DNSNames: []string{googleapis},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	made := func(c, parent *x509.Certificate, own, signer *ecdsa.PrivateKey) string {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &own.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	return made(root, root, keys[0], keys[0]), made(leaf, root, keys[1], keys[0]),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

const booksAuthority = `
apiVersion: v1
kind: ConfigMap
metadata: {name: books-authority, namespace: bookinfo}
data:
  ca-certificates.crt: |
%s
`

const booksOutside = `
apiVersion: v1
kind: Namespace
metadata: {name: books}
---
apiVersion: v1
kind: Secret
metadata: {name: books, namespace: books}
type: kubernetes.io/tls
stringData:
  tls.crt: |
%s
  tls.key: |
%s
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: books, namespace: books}
spec:
  selector: {matchLabels: {app: books}}
  template:
    metadata: {labels: {app: books}}
    spec:
      # An unprivileged program listens on 443.
      securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
      containers:
        - name: books
          image: isthmesh/samples:dev
          args: [books, "443", /tls/tls.crt, /tls/tls.key]
          readinessProbe: {tcpSocket: {port: 443}, periodSeconds: 1, timeoutSeconds: 10}
          volumeMounts: [{name: tls, mountPath: /tls}]
      volumes: [{name: tls, secret: {secretName: books}}]
`
