// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
