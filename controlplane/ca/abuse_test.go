// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	"github.com/isthmesh/isthmesh/federation/trust"
)

func uri(t testing.TB, s string) *url.URL {
	t.Helper()
	return must[*url.URL](t)(url.Parse(s))
}

// names is a subject alternative name extension of raw general names, for what
// crypto/x509 would not write.
func names(t testing.TB, raw ...asn1.RawValue) pkix.Extension {
	t.Helper()
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: must[[]byte](t)(asn1.Marshal(raw))}
}

func general(tag int, value string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(value)}
}

// TestCSRAbuse: whoever asks, and whatever for, gets either nothing or exactly
// what the caller may have. All cases come over TLS and gRPC, as an attacker's would.
func TestCSRAbuse(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0") // to make a weak key
	s := newService(t)
	foreignCluster := authntest.New(s.clock.Now)
	cartToken := s.token(authntest.Token{Pod: "cart-0", PodUID: "uid-0"})
	s.api.DeletePod("uid-gone")

	key := ecKey(t)
	ask := func(template x509.CertificateRequest) string { return pemCSR(csrOf(t, key, template)) }
	plain := ask(x509.CertificateRequest{})
	withKey := func(key crypto.Signer) string { return pemCSR(csrOf(t, key, x509.CertificateRequest{})) }
	extension := func(e ...pkix.Extension) string { return ask(x509.CertificateRequest{ExtraExtensions: e}) }
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rsa1024 := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	p224 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	p521 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	forged := csrOf(t, key, x509.CertificateRequest{})
	forged[len(forged)-4] ^= 1
	// Somebody else's request with the key of the attacker put in its place.
	victims := must[*x509.CertificateRequest](t)(x509.ParseCertificateRequest(csrOf(t, ecKey(t), x509.CertificateRequest{})))
	ours := must[*x509.CertificateRequest](t)(x509.ParseCertificateRequest(csrOf(t, key, x509.CertificateRequest{})))
	swapped := bytes.Replace(victims.Raw, victims.RawSubjectPublicKeyInfo, ours.RawSubjectPublicKeyInfo, 1)
	manyNames := x509.CertificateRequest{}
	for range 300 {
		manyNames.DNSNames = append(manyNames.DNSNames, "a.example")
	}
	metadata := func(key string, value any) *structpb.Struct {
		return must[*structpb.Struct](t)(structpb.NewStruct(map[string]any{key: value}))
	}

	stranger := newRoot(t)
	certificate := func(cert *x509.Certificate, key trust.PrivateKey, id string) *tls.Certificate {
		leafKey := newKey(t)
		der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{uri(t, id)},
		}, cert, leafKey.Public(), key))
		return &tls.Certificate{Certificate: [][]byte{der, cert.Raw}, PrivateKey: leafKey}
	}
	eastCert, eastKey := intermediate(t, s.root, spiffeid.RequireTrustDomainFromString("east.shop.example"), 0)
	strangerCert, strangerKey := intermediate(t, stranger, west, 0)

	type request = *securityv1alpha1.IstioCertificateRequest
	csr := func(text string) request { return &securityv1alpha1.IstioCertificateRequest{Csr: text} }
	for name, test := range map[string]struct {
		req   request
		token string           // cart's when empty
		cert  *tls.Certificate // none when nil
		code  codes.Code
		err   string
	}{
		// The request asks for more than the caller is: it gets what the caller is.
		"OtherIdentity":         {req: csr(ask(x509.CertificateRequest{URIs: []*url.URL{uri(t, "spiffe://west.shop.example/ns/shop/sa/pay")}}))},
		"OtherTrustDomain":      {req: csr(ask(x509.CertificateRequest{URIs: []*url.URL{uri(t, "spiffe://east.shop.example/ns/shop/sa/cart")}}))},
		"OwnAndOtherIdentity":   {req: csr(ask(x509.CertificateRequest{URIs: []*url.URL{cart.URL(), uri(t, "spiffe://west.shop.example/ns/istio-system/sa/istiod")}}))},
		"ControlPlanesDNSName":  {req: csr(ask(x509.CertificateRequest{DNSNames: []string{serverName}}))},
		"HubsDNSName":           {req: csr(ask(x509.CertificateRequest{DNSNames: []string{trust.HubServerName("shop", "mesh")}}))},
		"WildcardDNSName":       {req: csr(ask(x509.CertificateRequest{DNSNames: []string{"*", "*.shop.svc"}}))},
		"LoopbackAddress":       {req: csr(ask(x509.CertificateRequest{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}))},
		"EmailAddress":          {req: csr(ask(x509.CertificateRequest{EmailAddresses: []string{"root@example.com"}}))},
		"SubjectOfTheRoot":      {req: csr(ask(x509.CertificateRequest{Subject: s.root.Certificate.Subject}))},
		"HugeSubject":           {req: csr(ask(x509.CertificateRequest{Subject: pkix.Name{CommonName: strings.Repeat("a", 8000)}}))},
		"CABit":                 {req: csr(extension(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}))},
		"KeyUsageToSign":        {req: csr(extension(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{0x03, 0x02, 0x02, 0x04}}))},
		"AnyExtendedKeyUsage":   {req: csr(extension(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: []byte{0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x25, 0x00}}))},
		"UnknownCritical":       {req: csr(extension(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}))},
		"NULInIdentity":         {req: csr(extension(names(t, general(6, "spiffe://west.shop.example/ns/shop/sa/cart\x00/../pay")))), code: codes.InvalidArgument, err: "not PKCS #10"},
		"NULInDNSName":          {req: csr(extension(names(t, general(2, serverName+"\x00.evil"))))},
		"OtherName":             {req: csr(extension(names(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: []byte{0x06, 0x02, 0x2a, 0x03, 0xa0, 0x03, 0x0c, 0x01, 0x61}})))},
		"TwoNameExtensions":     {req: csr(extension(names(t, general(2, "a")), names(t, general(2, "b")))), code: codes.InvalidArgument, err: "not PKCS #10"},
		"ThreeHundredNames":     {req: csr(ask(manyNames))},
		"NonUTF8PathInIdentity": {req: csr(extension(names(t, general(6, "spiffe://west.shop.example/ns/shop/sa/\xff")))), code: codes.InvalidArgument, err: "not PKCS #10"},

		// The life that is asked for.
		"LifeNegative":     {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, ValidityDuration: -1}, code: codes.InvalidArgument, err: "negative"},
		"LifeMostNegative": {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, ValidityDuration: math.MinInt64}, code: codes.InvalidArgument, err: "negative"},
		"LifeTenYears":     {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, ValidityDuration: 10 * 365 * 24 * 3600}},
		"LifeOverflows":    {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, ValidityDuration: math.MaxInt64}},
		"LifeWrapsAround":  {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, ValidityDuration: math.MaxInt64/int64(time.Second) + 3600}},

		// The key.
		"KeyRSA1024":     {req: csr(withKey(rsa1024)), code: codes.InvalidArgument, err: "RSA key of 1024 bits"},
		"KeyP224":        {req: csr(withKey(p224)), code: codes.InvalidArgument, err: "P-224"},
		"KeyP521":        {req: csr(withKey(p521)), code: codes.InvalidArgument, err: "P-521"},
		"KeyEd25519":     {req: csr(withKey(ed)), code: codes.InvalidArgument, err: "neither ECDSA nor RSA"},
		"KeyNotHeld":     {req: csr(pemCSR(swapped)), code: codes.InvalidArgument, err: "not signed by its own key"},
		"SignatureWrong": {req: csr(pemCSR(forged)), code: codes.InvalidArgument, err: "not signed by its own key"},

		// The form of the request.
		"Empty":            {req: csr(""), code: codes.InvalidArgument, err: "not PEM"},
		"Garbage":          {req: csr("hello"), code: codes.InvalidArgument, err: "not PEM"},
		"GarbageInPEM":     {req: csr(pemCSR([]byte("hello"))), code: codes.InvalidArgument, err: "not PKCS #10"},
		"CertificateAsCSR": {req: csr(string(trust.EncodeBundle(s.root.Bundle()))), code: codes.InvalidArgument, err: `of type "CERTIFICATE"`},
		"TwoRequests":      {req: csr(plain + plain), code: codes.InvalidArgument, err: "something follows"},
		"TextAfter":        {req: csr(plain + "x"), code: codes.InvalidArgument, err: "something follows"},
		"CutInHalf":        {req: csr(plain[:len(plain)/2]), code: codes.InvalidArgument, err: "not PEM"},
		"BytesAfter":       {req: csr(pemCSR(append(csrOf(t, key, x509.CertificateRequest{}), 0))), code: codes.InvalidArgument, err: "not PKCS #10"},
		"OneMegabyte":      {req: csr(strings.Repeat("A", 1<<20)), code: codes.InvalidArgument, err: "longer than"},
		"OneMegabyteOfPEM": {req: csr(pemCSR(make([]byte, 1<<20))), code: codes.InvalidArgument, err: "longer than"},
		"TenMegabytes":     {req: csr(strings.Repeat("A", 10<<20)), code: codes.ResourceExhausted, err: "larger than max"},
		"DeepASN1":         {req: csr(pemCSR(bytes.Repeat([]byte{0x30, 0x80}, 4000))), code: codes.InvalidArgument, err: "not PKCS #10"},
		"HeadersInPEM":     {req: csr(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Headers: map[string]string{"Identity": "spiffe://west.shop.example/ns/shop/sa/pay"}, Bytes: ours.Raw})))},

		// Who asks.
		"NoCredentials":           {req: csr(plain), token: "-", code: codes.Unauthenticated, err: "no credentials"},
		"TokenGarbage":            {req: csr(plain), token: "Bearer x.y.z", code: codes.Unauthenticated, err: "not a signed JWT"},
		"TokenOtherAudience":      {req: csr(plain), token: s.token(authntest.Token{Audiences: []string{"https://kubernetes.default.svc"}}), code: codes.Unauthenticated, err: "another audience"},
		"TokenLegacy":             {req: csr(plain), token: s.token(authntest.Token{Audiences: []string{}, Life: -1}), code: codes.Unauthenticated, err: "legacy"},
		"TokenExpired":            {req: csr(plain), token: s.token(authntest.Token{Life: time.Nanosecond}), code: codes.Unauthenticated, err: "expired"},
		"TokenOfOtherCluster":     {req: csr(plain), token: "Bearer " + foreignCluster.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart"}), code: codes.Unauthenticated, err: "refused by the API server"},
		"TokenOfDeletedPod":       {req: csr(plain), token: s.token(authntest.Token{Pod: "cart-9", PodUID: "uid-gone"}), code: codes.Unauthenticated, err: "no longer exists"},
		"TokenOfOddAccount":       {req: csr(plain), token: s.token(authntest.Token{ServiceAccount: "cart/../pay"}), code: codes.Unauthenticated, err: "refused"},
		"CertificateOfOtherRoot":  {req: csr(plain), token: "-", cert: certificate(strangerCert, strangerKey, cart.String()), code: codes.Unavailable},
		"CertificateOfEast":       {req: csr(plain), token: "-", cert: certificate(eastCert, eastKey, "spiffe://east.shop.example/ns/shop/sa/cart"), code: codes.Unauthenticated, err: `trust domain "east.shop.example"`},
		"CertificateMintedByEast": {req: csr(plain), token: "-", cert: certificate(eastCert, eastKey, cart.String()), code: codes.Unavailable},

		// Who the caller says to speak for.
		"Impersonation":      {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, Metadata: metadata("ImpersonatedIdentity", "spiffe://west.shop.example/ns/shop/sa/pay")}, code: codes.PermissionDenied, err: "may not ask for the certificate of another"},
		"ImpersonatesItself": {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, Metadata: metadata("ImpersonatedIdentity", cart.String())}, code: codes.PermissionDenied},
		"ImpersonatesNumber": {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, Metadata: metadata("ImpersonatedIdentity", 7)}, code: codes.PermissionDenied},
		"OtherSigner":        {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, Metadata: metadata("CertSigner", "example.com/root")}},
		"OtherClusterID":     {req: &securityv1alpha1.IstioCertificateRequest{Csr: plain, Metadata: metadata("ClusterID", "east")}},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			switch test.token {
			case "":
				headers = []string{cartToken}
			case "-":
			default:
				headers = []string{test.token}
			}
			chain, err := s.create(s.client(test.cert), test.req, headers...)
			if got := status.Code(err); got != test.code {
				t.Fatalf("code is %s, want %s: %v", got, test.code, err)
			}
			if err == nil {
				s.checkIssued(t, chain)
				return
			}
			if !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %q does not say %q", err, test.err)
			}
			if len(chain) != 0 {
				t.Error("a certificate came with the error")
			}
			if len(err.Error()) > 600 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
		})
	}
}
