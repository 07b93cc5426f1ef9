// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
)

// TestRequest asks a real server, and checks that what stands in the way is
// named with what mends it, and that no token is told.
func TestRequest(t *testing.T) {
	c, other := newStandIn(t, time.Hour), newStandIn(t, time.Hour)
	file := func(body string) string {
		path := filepath.Join(t.TempDir(), "file")
		check(t, os.WriteFile(path, []byte(body), 0o600))
		return path
	}
	good := csr.Client{
		Address: c.address, ServerName: testServer, Identity: testIdentity, TTL: time.Hour,
		ServerID: spiffeid.RequireFromString(testIstiod),
		RootFile: file(certPEM(c.root.Raw)), TokenFile: file(testToken + "\n"),
	}
	eastIstiod := spiffeid.RequireFromString("spiffe://east.shop.example/ns/istio-system/sa/istiod")
	cases := map[string]struct {
		change func(*csr.Client)
		err    string
	}{
		"Good":        {func(*csr.Client) {}, ""},
		"NoRoot":      {func(a *csr.Client) { a.RootFile = "/nowhere/root-cert.pem" }, "ConfigMap istio-ca-root-cert"},
		"EmptyRoot":   {func(a *csr.Client) { a.RootFile = file("x") }, "has no certificate in PEM"},
		"OtherRoot":   {func(a *csr.Client) { a.RootFile = file(certPEM(other.root.Raw)) }, "certificate signed by unknown authority"},
		"OtherName":   {func(a *csr.Client) { a.ServerName = "istiod.other.svc" }, "not istiod.other.svc"},
		"OtherMember": {func(a *csr.Client) { a.ServerID = eastIstiod }, fmt.Sprintf(`identity \"%s\" is not the control plane \"%s\"`, testIstiod, eastIstiod)},
		"NoMember":    {func(a *csr.Client) { a.ServerID = spiffeid.ID{} }, "is not the control plane"},
		"NoToken":     {func(a *csr.Client) { a.TokenFile = "/nowhere/token" }, "audience istio-ca"},
		"WrongToken":  {func(a *csr.Client) { a.TokenFile = file("another secret token") }, "does not accept the service account token: token not known"},
		"NobodyThere": {func(a *csr.Client) { a.Address = "127.0.0.1:1" }, "cannot be reached"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			client := good
			test.change(&client)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			leaf, err := client.Request(ctx)
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "another secret token") {
					t.Errorf("the error tells the token: %v", err)
				}
				return
			}
			if certificate, err := leaf.TLS(); err != nil || certificate.Leaf.URIs[0].String() != testIdentity {
				t.Errorf("leaf %v, %v", certificate.Leaf, err)
			}
		})
	}
}

// TestKeptCertificate: a machine proves who it is with the certificate that it
// has, for as long as that is good, and with its token else.
func TestKeptCertificate(t *testing.T) {
	c, other := newStandIn(t, time.Hour), newStandIn(t, time.Hour)
	write := func(path, body string) {
		t.Helper()
		check(t, os.WriteFile(path, []byte(body), 0o600))
	}
	cases := map[string]struct {
		// change is made after a first certificate was had by the token.
		change func(client *csr.Client, kept string)
		// proven is how the second one was had; err a part of the error else.
		proven, err string
	}{
		"Kept":         {func(client *csr.Client, _ string) { client.TokenFile = "/nowhere/token" }, "certificate", ""},
		"BeforeTokens": {func(*csr.Client, string) {}, "certificate", ""},
		"NotKept":      {func(_ *csr.Client, kept string) { check(t, os.Remove(filepath.Join(kept, "key.pem"))) }, "token", ""},
		"Spoilt":       {func(_ *csr.Client, kept string) { write(filepath.Join(kept, "key.pem"), "x") }, "token", ""},
		"SpoiltOnly": {func(client *csr.Client, kept string) {
			write(filepath.Join(kept, "key.pem"), "x")
			client.TokenFile = "/nowhere/token"
		}, "", "isn't a key with its certificate"},
		"Neither": {func(client *csr.Client, kept string) {
			check(t, os.Remove(filepath.Join(kept, "key.pem")))
			client.TokenFile = "/nowhere/token"
		}, "", "read the service account token"},
		// A certificate of another mesh is refused, and the token counts.
		"OfAnother": {func(client *csr.Client, kept string) {
			elsewhere := *client
			elsewhere.Address, elsewhere.Keep = other.address, t.TempDir()
			elsewhere.RootFile = filepath.Join(elsewhere.Keep, "root.pem")
			write(elsewhere.RootFile, certPEM(other.root.Raw))
			_, err := elsewhere.Request(t.Context())
			check(t, err)
			body, err := os.ReadFile(filepath.Join(elsewhere.Keep, "key.pem"))
			check(t, err)
			write(filepath.Join(kept, "key.pem"), string(body))
		}, "token", ""},
		"OtherIdentity": {func(client *csr.Client, _ string) {
			client.Identity, client.TokenFile = "spiffe://west.shop.example/ns/shop/sa/ratings", "/nowhere/token"
		}, "", "isn't for spiffe://west.shop.example/ns/shop/sa/ratings"},
		"NotToBeWritten": {func(client *csr.Client, kept string) {
			check(t, os.RemoveAll(kept))
		}, "token", ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			kept := filepath.Join(dir, "certs")
			check(t, os.Mkdir(kept, 0o700))
			client := csr.Client{
				Address: c.address, ServerName: testServer, Identity: testIdentity, TTL: time.Hour,
				ServerID: spiffeid.RequireFromString(testIstiod), Keep: kept,
				RootFile: filepath.Join(dir, "root.pem"), TokenFile: filepath.Join(dir, "token"),
			}
			write(client.RootFile, certPEM(c.root.Raw))
			write(client.TokenFile, testToken)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := client.Request(ctx)
			check(t, err)
			info, err := os.Stat(filepath.Join(kept, "key.pem"))
			check(t, err)
			if info.Mode().Perm() != 0o600 {
				t.Errorf("the key has mode %v", info.Mode())
			}
			test.change(&client, kept)
			before := c.certified()
			_, err = client.Request(ctx)
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			if test.proven == "" {
				return
			}
			if got := c.certified()[len(before):]; len(got) != 1 || got[0] != test.proven {
				t.Errorf("proven by %v, want %s", got, test.proven)
			}
		})
	}
}

// certified is how the certificates so far were asked for.
func (c *standIn) certified() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.proven)
}
