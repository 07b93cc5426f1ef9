// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/federation/trust"
)

func TestTrustDomain(t *testing.T) {
	for name, test := range map[string]struct{ name, err string }{
		"Domain":     {"west.shop.example", ""},
		"OneLabel":   {"mesh", ""},
		"Underscore": {"my_mesh.example", ""},
		"Local":      {"cluster.local", ""},
		"Empty":      {"", "trust domain"},
		"Upper":      {"Shop.example", "trust domain"},
		"Port":       {"shop.example:80", "trust domain"},
		"User":       {"a@shop.example", "trust domain"},
		"Percent":    {"shop%2e.example", "trust domain"},
		"Scheme":     {"spiffe://shop.example", "bare name"},
		"Path":       {"shop.example/x", "trust domain"},
		"EndsInDot":  {"shop.example.", "between dots"},
		"StartsDot":  {".shop.example", "between dots"},
		"TwoDots":    {"shop..example", "between dots"},
		"LongLabel":  {strings.Repeat("a", 64) + ".example", "between dots"},
		"IPv4":       {"10.1.2.3", "IP address"},
		"NUL":        {"shop.example\x00.evil", "trust domain"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trust.TrustDomain(test.name)
			wantErr(t, err, test.err)
			if err != nil {
				return
			}
			// What is accepted works as a name constraint.
			root := newRoot(t)
			td := spiffeid.RequireTrustDomainFromString(test.name)
			ca := memberCA(t, root, "west", td)
			wantErr(t, trust.CheckMemberCA(ca.cert, root.Bundle(), td, now), "")
		})
	}
}

func TestMemberTrustDomain(t *testing.T) {
	td := must[spiffeid.TrustDomain](t)(trust.MemberTrustDomain("west", "shop.example"))
	if td != west {
		t.Errorf("got %q", td)
	}
	for _, bad := range []string{"", "a.b", "a/b", "a:b", "West"} {
		if _, err := trust.MemberTrustDomain(bad, "shop.example"); err == nil {
			t.Errorf("member name %q became part of a trust domain", bad)
		}
	}
}

func TestIdentities(t *testing.T) {
	id := must[spiffeid.ID](t)(trust.WorkloadID(west, "shop", "cart.v1"))
	if got := id.String(); got != "spiffe://west.shop.example/ns/shop/sa/cart.v1" {
		t.Errorf("identity is %q", got)
	}
	ns, sa, err := trust.ServiceAccount(id)
	if err != nil || ns != "shop" || sa != "cart.v1" {
		t.Errorf("got %q, %q, %v", ns, sa, err)
	}
	for name, in := range map[string][2]string{
		"EmptyNamespace": {"", "sa"}, "EmptyAccount": {"ns", ""}, "Dots": {"..", "sa"}, "Slash": {"ns", "a/b"}, "NUL": {"ns", "a\x00b"}, "Star": {"ns", "*"},
	} {
		if id, err := trust.WorkloadID(west, in[0], in[1]); err == nil {
			t.Errorf("%s: became identity %q", name, id)
		}
	}
	if _, err := trust.WorkloadID(spiffeid.TrustDomain{}, "ns", "sa"); err == nil {
		t.Error("an identity without trust domain")
	}
	for _, path := range []string{"", "/ns/a", "/ns/a/sa/b/c", "/x/a/sa/b", "/ns/a/x/b"} {
		if _, _, err := trust.ServiceAccount(must[spiffeid.ID](t)(spiffeid.FromPath(west, path))); err == nil {
			t.Errorf("path %q is taken for a workload's", path)
		}
	}
}
