// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"testing"

	"github.com/isthmesh/isthmesh/federation/trust"
)

func TestBundleIsASet(t *testing.T) {
	a, b, c := newRoot(t).Certificate, newRoot(t).Certificate, newRoot(t).Certificate
	one, two := trust.NewBundle(a, b, c, a), trust.NewBundle(c, b, b, a)
	if !one.Equal(two) || one.Fingerprint() != two.Fingerprint() || !bytes.Equal(trust.EncodeBundle(one), trust.EncodeBundle(two)) {
		t.Error("equal sets differ")
	}
	if len(one) != 3 || !one.Contains(b) {
		t.Errorf("bundle holds %d certificates", len(one))
	}
	if one.Equal(trust.NewBundle(a, b)) || one.Fingerprint() == trust.NewBundle(a, b).Fingerprint() {
		t.Error("different sets are equal")
	}
	if trust.NewBundle(a).Contains(b) {
		t.Error("bundle contains a stranger")
	}
	again := must[trust.Bundle](t)(trust.ParseBundle(trust.EncodeBundle(one)))
	if !again.Equal(one) {
		t.Error("bundle changed on its way through PEM")
	}
	again = must[trust.Bundle](t)(trust.ParseBundleDER(one.DER()))
	if !again.Equal(one) {
		t.Error("bundle changed on its way through DER")
	}
	if got := trust.Fingerprint(a); len(got) != 64 {
		t.Errorf("fingerprint is %q", got)
	}
	if !trust.Bundle(nil).NotAfter().IsZero() || !one.NotAfter().Equal(a.NotAfter) {
		t.Error("wrong expiry of a bundle")
	}
}

func TestParseBundleRefuses(t *testing.T) {
	root := newRoot(t)
	pem := trust.EncodeBundle(root.Bundle())
	leaf := trust.EncodeCertificates(must[*tls.Certificate](t)(root.HubCertificate("a.b", rand.Reader, now, 0)).Leaf)
	key := must[trust.Secret](t)(root.Key.PEM()).Reveal()
	for name, test := range map[string]struct {
		data []byte
		err  string
	}{
		"Root":        {pem, ""},
		"TextAround":  {append([]byte("subject: me\n"), append(pem, "trailing text\n"...)...), ""},
		"Twice":       {append(append([]byte(nil), pem...), pem...), ""},
		"Empty":       {nil, "no certificate"},
		"Text":        {[]byte("hello"), "no certificate"},
		"Leaf":        {append(append([]byte(nil), pem...), leaf...), "certificate 2 of 2"},
		"Key":         {append(append([]byte(nil), pem...), key...), `not a certificate but "EC PRIVATE KEY"`},
		"Cut":         {pem[:len(pem)-20], "0 of 1"},
		"BrokenFirst": {append([]byte("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"), pem...), "1 of 2"},
		"NotDER":      {[]byte("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"), "PEM block 1 of 1"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := trust.ParseBundle(test.data)
			wantErr(t, err, test.err)
			if err == nil && len(b) != 1 {
				t.Errorf("bundle holds %d certificates", len(b))
			}
			if err != nil && bytes.Contains([]byte(err.Error()), key[40:60]) {
				t.Error("the error quotes the key")
			}
		})
	}
	_, err := trust.ParseBundleDER([][]byte{root.Certificate.Raw, []byte("x")})
	wantErr(t, err, "certificate 2 of 2")
	_, err = trust.ParseBundleDER(nil)
	wantErr(t, err, "no certificate")
}

// FuzzParseBundle: no input makes it panic, and what it accepts comes back the same.
func FuzzParseBundle(f *testing.F) {
	root := newRoot(f)
	pem := trust.EncodeBundle(trust.NewBundle(root.Certificate, newRoot(f).Certificate))
	f.Add(pem)
	f.Add(pem[:len(pem)/2])
	f.Add(bytes.ReplaceAll(pem, []byte("\n"), []byte("\r\n")))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END CERTIFICATE-----"))
	f.Add([]byte("-----BEGIN -----END -----BEGIN "))
	f.Add([]byte{0, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := trust.ParseBundle(data)
		if err != nil {
			return
		}
		if len(b) == 0 {
			t.Fatal("an empty bundle without error")
		}
		again, err := trust.ParseBundle(trust.EncodeBundle(b))
		if err != nil || !again.Equal(b) {
			t.Fatalf("bundle does not come back: %v", err)
		}
		for _, c := range b {
			if !c.IsCA {
				t.Fatal("a certificate that is no CA is trusted")
			}
		}
	})
}
