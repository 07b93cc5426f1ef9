// SPDX-License-Identifier: Apache-2.0

package compared

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// pair is a certificate, which is its own authority, and its key.
var pair = sync.OnceValues(func() ([2]string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return [2]string{}, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return [2]string{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return [2]string{encode("CERTIFICATE", certificate), encode("PRIVATE KEY", private)}, err
})

// secretOf a gateway, with all that any mode needs.
func secretOf(path string) (string, error) {
	namespace, name, _ := strings.Cut(path, "/")
	p, err := pair()
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ndata: {tls.crt: %s, tls.key: %s, ca.crt: %[3]s}", name, namespace, p[0], p[1]), err
}
