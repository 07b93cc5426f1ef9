// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/federation/trust"
)

const westIstiod = "spiffe://west.shop.example/ns/istio-system/sa/istiod"

func TestVerifyMember(t *testing.T) {
	root, stranger := newRoot(t), newRoot(t)
	westCA, eastCA := memberCA(t, root, "west", west), memberCA(t, root, "east", east)
	former := memberCA(t, root, "west", west)
	foreign := memberCA(t, stranger, "west", west)
	key := newKey(t)
	records := map[string]trust.Issued{
		trust.Serial(westCA.cert):  {Member: "west", TrustDomain: west},
		trust.Serial(eastCA.cert):  {Member: "east", TrustDomain: east},
		trust.Serial(foreign.cert): {Member: "west", TrustDomain: west},
	}
	issued := func(serial string) (trust.Issued, bool) { r, ok := records[serial]; return r, ok }
	leaf := func(ca authority, change func(*x509.Certificate), uris ...string) []*x509.Certificate {
		template := leafTemplate(uris...)
		if change != nil {
			change(&template)
		}
		return []*x509.Certificate{ca.issue(t, template, key.Public()), ca.cert}
	}
	subCA := caTemplate("sub")
	subKey := newKey(t)
	sub := authority{westCA.issue(t, subCA, subKey.Public()), subKey}
	direct := leafTemplate(westIstiod)

	for name, test := range map[string]struct {
		chain []*x509.Certificate
		at    time.Time
		err   string
	}{
		"ControlPlane":     {leaf(westCA, nil, westIstiod), now, ""},
		"NoCertificate":    {nil, now, "no client certificate"},
		"LeftMember":       {leaf(former, nil, westIstiod), now, "not of a member, or no longer"},
		"OtherRoot":        {leaf(foreign, nil, westIstiod), now, "unknown authority"},
		"Workload":         {leaf(westCA, nil, "spiffe://west.shop.example/ns/shop/sa/cart"), now, "not the control plane of member"},
		"OtherMember":      {leaf(westCA, nil, "spiffe://east.shop.example/ns/istio-system/sa/istiod"), now, "not permitted"},
		"SubDomain":        {leaf(westCA, nil, "spiffe://x.west.shop.example/ns/istio-system/sa/istiod"), now, "not the control plane"},
		"TwoIdentities":    {leaf(westCA, nil, westIstiod, "spiffe://west.shop.example/ns/a/sa/b"), now, "more than one URI SAN"},
		"NoIdentity":       {leaf(westCA, nil), now, "no URI SAN"},
		"Expired":          {leaf(westCA, nil, westIstiod), now.Add(2 * day), "expired"},
		"NotYetValid":      {leaf(westCA, nil, westIstiod), now.Add(-time.Hour - time.Minute), "not yet valid"},
		"CAAsLeaf":         {leaf(westCA, func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage |= x509.KeyUsageCertSign }, westIstiod), now, "certificate"},
		"MaySign":          {leaf(westCA, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, westIstiod), now, "may sign others"},
		"OnlyServer":       {leaf(westCA, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, westIstiod), now, "incompatible key usage"},
		"SubCA":            {append(leaf(sub, nil, westIstiod), westCA.cert), now, "too many intermediates"},
		"MissingLink":      {leaf(westCA, nil, westIstiod)[:1], now, "unknown authority"},
		"SignedByRoot":     {[]*x509.Certificate{authority{root.Certificate, root.Key}.issue(t, direct, key.Public())}, now, "exactly one intermediate"},
		"IntermediateOnly": {[]*x509.Certificate{westCA.cert}, now, "exactly one intermediate"},
	} {
		t.Run(name, func(t *testing.T) {
			member, err := trust.VerifyMember(root.Bundle(), test.chain, issued, test.at)
			wantErr(t, err, test.err)
			var want []string
			if test.err == "" {
				want = []string{"west", trust.Serial(westCA.cert), westIstiod, now.Add(day).String()}
			}
			var got []string
			if member != (trust.Member{}) {
				got = []string{member.Name, member.Serial, member.ID.String(), member.NotAfter.String()}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("member differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestVerifyMemberBindsTheTrustDomain: an intermediate that was recorded for
// another trust domain than it is constrained to is refused.
func TestVerifyMemberBindsTheTrustDomain(t *testing.T) {
	root := newRoot(t)
	ca := memberCA(t, root, "west", west)
	chain := []*x509.Certificate{ca.issue(t, leafTemplate(westIstiod), newKey(t).Public()), ca.cert}
	_, err := trust.VerifyMember(root.Bundle(), chain, func(string) (trust.Issued, bool) {
		return trust.Issued{Member: "east", TrustDomain: east}, true
	}, now)
	wantErr(t, err, "not constrained to trust domain")
}

func TestVerifyHub(t *testing.T) {
	root, stranger := newRoot(t), newRoot(t)
	name := trust.HubServerName("shop", "mesh")
	westCA := memberCA(t, root, "west", west)
	thief := newKey(t)
	hub := func(r *trust.Root, name string, at time.Time) []*x509.Certificate {
		return []*x509.Certificate{must[*tls.Certificate](t)(r.HubCertificate(name, rand.Reader, at, 0)).Leaf}
	}
	stolen := func(change func(*x509.Certificate)) []*x509.Certificate {
		template := leafTemplate(westIstiod)
		template.DNSNames = []string{name}
		change(&template)
		return []*x509.Certificate{westCA.issue(t, template, thief.Public()), westCA.cert}
	}
	// What the thief would have if intermediates were not barred from the hub's names.
	loose := *westCA.cert
	loose.ExcludedDNSDomains, loose.RawSubject = nil, nil
	looseCA := authority{authority{root.Certificate, root.Key}.issue(t, loose, westCA.key.Public()), westCA.key}
	template := leafTemplate(westIstiod)
	template.DNSNames = []string{name}
	viaLoose := []*x509.Certificate{looseCA.issue(t, template, thief.Public()), looseCA.cert}

	for test, c := range map[string]struct {
		chain []*x509.Certificate
		at    time.Time
		err   string
	}{
		"Hub":                {hub(root, name, now), now, ""},
		"HubWithRoot":        {append(hub(root, name, now), root.Certificate), now, ""},
		"NoCertificate":      {nil, now, "no certificate"},
		"OtherFederation":    {hub(root, trust.HubServerName("other", "mesh"), now), now, "not " + name},
		"OtherRoot":          {hub(stranger, name, now), now, "not signed by a root"},
		"Expired":            {hub(root, name, now), now.Add(91 * day), "expired"},
		"Stolen":             {stolen(func(*x509.Certificate) {}), now, "not signed by a root"},
		"StolenWithWildcard": {stolen(func(c *x509.Certificate) { c.DNSNames = []string{"*.mesh." + trust.HubDomain} }), now, "not signed by a root"},
		"StolenUnbarred":     {viaLoose, now, "not signed by a root"},
		"Root":               {[]*x509.Certificate{root.Certificate}, now, "is a CA"},
	} {
		t.Run(test, func(t *testing.T) {
			wantErr(t, trust.VerifyHub(root.Bundle(), name, c.chain, c.at), c.err)
		})
	}

	// The two defences are independent: the name constraint alone refuses it to
	// any client that verifies chains as usual, and without it such a client is fooled.
	usual := func(chain []*x509.Certificate) error {
		between := x509.NewCertPool()
		between.AddCert(chain[1])
		_, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: root.Bundle().Pool(), Intermediates: between, CurrentTime: now})
		return err
	}
	wantErr(t, usual(stolen(func(*x509.Certificate) {})), "excluded")
	wantErr(t, usual(viaLoose), "")
}

func TestHubCertificate(t *testing.T) {
	root := newRoot(t)
	cert := must[*tls.Certificate](t)(root.HubCertificate("shop.mesh.federation.isthmesh.dev", rand.Reader, now, 100*365*day))
	if !cert.Leaf.NotAfter.Equal(root.Certificate.NotAfter) {
		t.Errorf("hub's certificate outlives the root: %s", cert.Leaf.NotAfter)
	}
	if _, ok := cert.PrivateKey.(trust.PrivateKey); !ok {
		t.Errorf("the key can be printed: %T", cert.PrivateKey)
	}
	_, err := root.HubCertificate("x", rand.Reader, root.Certificate.NotAfter, 0)
	wantErr(t, err, "expired")
	_, err = root.HubCertificate("", rand.Reader, now, 0)
	wantErr(t, err, "hub")
}
