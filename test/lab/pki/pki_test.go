// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	now   = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	names = Names{
		Cluster: "west", Node: "west-control-plane",
		NodeIP: netip.MustParseAddr("10.211.11.2"), ServiceIP: netip.MustParseAddr("10.111.0.1"),
	}
)

func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	if err := Ensure(dir, names, now); err != nil {
		t.Fatal(err)
	}
	ca, err := Read(dir, CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Cert)
	for _, c := range []struct {
		name, host string
		usage      x509.ExtKeyUsage
	}{
		{APIServer, "10.211.11.2", x509.ExtKeyUsageServerAuth},
		{APIServer, "10.111.0.1", x509.ExtKeyUsageServerAuth},
		{APIServer, "kubernetes.default.svc.cluster.local", x509.ExtKeyUsageServerAuth},
		{Kubelet, "10.211.11.2", x509.ExtKeyUsageServerAuth},
		{Kubelet, "", x509.ExtKeyUsageClientAuth},
		{Admin, "", x509.ExtKeyUsageClientAuth},
	} {
		pair, err := Read(dir, c.name)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: c.host, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{c.usage}})
		if err != nil {
			t.Errorf("%s for %q: %v", c.name, c.host, err)
		}
	}
}

func TestEnsureKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	read := func() map[string]string {
		if err := Ensure(dir, names, now); err != nil {
			t.Fatal(err)
		}
		paths, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		content := map[string]string{}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			content[filepath.Base(path)] = string(data)
		}
		return content
	}
	if diff := cmp.Diff(read(), read()); diff != "" {
		t.Error(diff)
	}
}

func TestEnsureRefusesBrokenAuthority(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"ca.crt", "ca.key"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Ensure(dir, names, now); err == nil {
		t.Error("no error")
	}
}
