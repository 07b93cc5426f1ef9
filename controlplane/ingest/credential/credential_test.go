// SPDX-License-Identifier: Apache-2.0

package credential_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// material is a certificate, its key, and a revocation list and an OCSP
// response that it signed itself.
type material struct{ chain, key, crl, staple []byte }

func makeMaterial(t testing.TB, key crypto.Signer, serial int64) material {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m := material{
		chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if m.crl, err = x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), NextUpdate: template.NotAfter}, cert, key); err != nil {
		t.Fatal(err)
	}
	m.crl = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: m.crl})
	if _, ok := key.(ed25519.PrivateKey); ok {
		return m
	}
	if m.staple, err = ocsp.CreateResponse(cert, cert, ocsp.Response{Status: ocsp.Good, SerialNumber: cert.SerialNumber, ThisUpdate: template.NotBefore}, key); err != nil {
		t.Fatal(err)
	}
	return m
}

func newEC(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func secret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "c"}, Data: data}
}

func TestFromSecret(t *testing.T) {
	a, b := makeMaterial(t, newEC(t, elliptic.P256()), 1), makeMaterial(t, newEC(t, elliptic.P256()), 2)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short, ed, p224 := makeMaterial(t, small, 3), makeMaterial(t, edwards, 4), makeMaterial(t, newEC(t, elliptic.P224()), 5)
	for name, c := range map[string]struct {
		data map[string][]byte
		// has names what is there; invalid is part of why nothing is.
		has, invalid string
	}{
		"TLS":             {data: map[string][]byte{"tls.crt": a.chain, "tls.key": a.key}, has: "certificate key"},
		"Generic":         {data: map[string][]byte{"cert": a.chain, "key": a.key}, has: "certificate key"},
		"WithCA":          {data: map[string][]byte{"tls.crt": a.chain, "tls.key": a.key, "ca.crt": b.chain, "ca.crl": b.crl}, has: "certificate key ca crl"},
		"GenericWithCA":   {data: map[string][]byte{"cert": a.chain, "key": a.key, "cacert": b.chain, "crl": b.crl}, has: "certificate key ca crl"},
		"OnlyCA":          {data: map[string][]byte{"cacert": b.chain}, has: "ca"},
		"Staple":          {data: map[string][]byte{"tls.crt": a.chain, "tls.key": a.key, "tls.ocsp-staple": a.staple}, has: "certificate key staple"},
		"Chain":           {data: map[string][]byte{"tls.crt": slices.Concat([]byte("text\n"), a.chain, b.chain), "tls.key": a.key}, has: "certificate key"},
		"Empty":           {invalid: `neither keys "tls.crt" and "tls.key" nor "ca.crt"`},
		"NoKey":           {data: map[string][]byte{"tls.crt": a.chain}, invalid: `"tls.key" is missing`},
		"NoCertificate":   {data: map[string][]byte{"key": a.key}, invalid: `"tls.crt" is missing`},
		"AnothersKey":     {data: map[string][]byte{"tls.crt": a.chain, "tls.key": b.key}, invalid: "belong to the first certificate"},
		"NotPEM":          {data: map[string][]byte{"tls.crt": []byte("hello"), "tls.key": a.key}, invalid: "no PEM block"},
		"BrokenInside":    {data: map[string][]byte{"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "tls.key": a.key}, invalid: "certificate 1 does not parse"},
		"BrokenAuthority": {data: map[string][]byte{"tls.crt": a.chain, "tls.key": a.key, "ca.crt": []byte("x")}, invalid: `key "ca.crt"`},
		"BrokenList":      {data: map[string][]byte{"cacert": a.chain, "crl": []byte("x")}, invalid: `key "crl"`},
		"AnothersStaple":  {data: map[string][]byte{"tls.crt": a.chain, "tls.key": a.key, "tls.ocsp-staple": b.staple}, invalid: "another certificate"},
		"BrokenStaple":    {data: map[string][]byte{"tls.crt": a.chain, "tls.key": a.key, "tls.ocsp-staple": []byte("x")}, invalid: "OCSP response in DER"},
		"Encrypted":       {data: map[string][]byte{"tls.crt": a.chain, "tls.key": []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")}, invalid: "encrypted"},
		"ShortRSA":        {data: map[string][]byte{"tls.crt": short.chain, "tls.key": short.key}, invalid: "1024 bits"},
		"Ed25519":         {data: map[string][]byte{"tls.crt": ed.chain, "tls.key": ed.key}, invalid: "Ed25519"},
		"P224":            {data: map[string][]byte{"tls.crt": p224.chain, "tls.key": p224.key}, invalid: "P-224"},
	} {
		t.Run(name, func(t *testing.T) {
			got := credential.FromSecret(secret(c.data))
			var has []string
			for what, b := range map[string][]byte{"certificate": got.Certificate, "key": got.Key.Reveal(), "ca": got.CA, "crl": got.CRL, "staple": got.OCSPStaple} {
				if len(b) > 0 {
					has = append(has, what)
				}
			}
			want := strings.Fields(c.has)
			slices.Sort(has)
			slices.Sort(want)
			if !slices.Equal(has, want) {
				t.Errorf("has %v, want %v (%s)", has, want, got.Invalid)
			}
			if (got.Invalid == "") != (c.invalid == "") || !strings.Contains(got.Invalid, c.invalid) {
				t.Errorf("invalid %q, want %q", got.Invalid, c.invalid)
			}
			if bytes.Contains(got.Certificate, []byte("text")) {
				t.Error("what is no certificate was kept")
			}
			if printed := fmt.Sprintf("%+v %#v", got, got); len(c.data["tls.key"]) > 0 && strings.Contains(printed, string(c.data["tls.key"])) {
				t.Error("the key can be printed")
			}
		})
	}
}

func TestFromConfigMap(t *testing.T) {
	a := makeMaterial(t, newEC(t, elliptic.P256()), 1)
	o := &corev1.ConfigMap{Data: map[string]string{"ca.crt": string(a.chain)}}
	if c := credential.FromConfigMap(o); c.Invalid != "" || !bytes.Equal(c.CA, a.chain) || !c.ConfigMap {
		t.Errorf("%+v", c)
	}
	if c := credential.FromConfigMap(&corev1.ConfigMap{Data: map[string]string{"other": "x"}}); !strings.Contains(c.Invalid, `no key "ca.crt"`) {
		t.Errorf("%+v", c)
	}
}

// TestBuildShares: an object that says the same again keeps its credential.
func TestBuildShares(t *testing.T) {
	a, b := makeMaterial(t, newEC(t, elliptic.P256()), 1), makeMaterial(t, newEC(t, elliptic.P256()), 2)
	data := map[string][]byte{"tls.crt": a.chain, "tls.key": a.key}
	first := credential.Build([]*corev1.Secret{secret(data)}, nil, nil)
	again := credential.Build([]*corev1.Secret{secret(data)}, nil, first)
	if &first.Credentials[0] != &again.Credentials[0] {
		t.Error("the same content makes another slice")
	}
	other := credential.Build([]*corev1.Secret{secret(map[string][]byte{"tls.crt": b.chain, "tls.key": b.key})}, nil, again)
	if first.Credentials[0] == other.Credentials[0] || !bytes.Equal(other.Credentials[0].Certificate, b.chain) {
		t.Error("new content is not seen")
	}
}

func TestWanted(t *testing.T) {
	ref := func(name string) model.CredentialRef { return model.CredentialRef{Name: name} }
	gateway := func(selector model.Labels, namespace string, listeners ...model.Listener) *model.Gateway {
		return &model.Gateway{Selector: selector, SelectorNamespace: namespace, Listeners: listeners}
	}
	listener := func(mode model.ListenerTLSMode, refs ...model.CredentialRef) model.Listener {
		return model.Listener{TLS: &model.ListenerTLS{Mode: mode, Credentials: refs}}
	}
	pod := func(namespace, label string) *model.Workload {
		return &model.Workload{Namespace: namespace, Labels: map[string]string{"istio": label}}
	}
	pods := []*model.Workload{pod("edge", "in"), pod("edge", "in"), pod("exit", "out"), pod("shop", "")}
	policy := &model.DestinationPolicy{Origin: model.Origin{Namespace: "shop"}, Policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{TLS: &model.ClientTLS{Credential: &model.CredentialRef{Name: "c"}}}}}
	selecting := *policy
	selecting.Selector = "app=a"
	for name, c := range map[string]struct {
		mesh model.Mesh
		want string
	}{
		"Simple":          {model.Mesh{Gateways: []*model.Gateway{gateway("istio=in", "", listener(model.TerminateTLS, ref("a")))}}, "edge/a"},
		"Mutual":          {model.Mesh{Gateways: []*model.Gateway{gateway("istio=in", "", listener(model.MutualListenerTLS, ref("a")))}}, "edge/a edge/a-cacert"},
		"Everyone":        {model.Mesh{Gateways: []*model.Gateway{gateway("", "", listener(model.TerminateTLS, ref("a")))}}, "edge/a exit/a"},
		"OtherNamespace":  {model.Mesh{Gateways: []*model.Gateway{gateway("istio=in", "exit", listener(model.TerminateTLS, ref("a")))}}, ""},
		"Named":           {model.Mesh{Gateways: []*model.Gateway{gateway("istio=in", "", listener(model.TerminateTLS, model.CredentialRef{Namespace: "bank", Name: "a", Granted: true}))}}, "bank/a"},
		"Policy":          {model.Mesh{Gateways: []*model.Gateway{gateway("istio=out", "")}, Policies: []*model.DestinationPolicy{policy}}, "exit/c exit/c-cacert"},
		"SelectingPolicy": {model.Mesh{Policies: []*model.DestinationPolicy{&selecting}}, "shop/c shop/c-cacert"},
		"Nothing":         {model.Mesh{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.mesh.Workloads = pods
			var got []string
			for _, r := range credential.Wanted(&c.mesh) {
				got = append(got, r.Namespace+"/"+r.Name)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
