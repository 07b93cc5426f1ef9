// SPDX-License-Identifier: Apache-2.0

package dns_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"github.com/isthmesh/isthmesh/controlplane/agent/dns"
	ndsv1 "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
)

var pod = dns.Pod{
	Namespace: "shop", Domain: "svc.cluster.local",
	Search: []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"},
}

func service(name, namespace, domain string, ips ...string) (string, *ndsv1.NameTable_NameInfo) {
	return name + "." + namespace + "." + domain, &ndsv1.NameTable_NameInfo{Ips: ips, Registry: "Kubernetes", Shortname: name, Namespace: namespace}
}

func testTable() *dns.Table {
	names := map[string]*ndsv1.NameTable_NameInfo{
		"api.example.com":   {Ips: []string{"192.0.2.1", "192.0.2.2"}},
		"*.wild.example":    {Ips: []string{"192.0.2.3"}},
		"*.a.wild.example":  {Ips: []string{"192.0.2.4"}},
		"Upper.Example.com": {Ips: []string{"192.0.2.5"}},
		"broken.example":    {Ips: []string{"not an address", "fe80::1%eth0"}},
		"both.example":      {Ips: []string{"192.0.2.6", "2001:db8::6"}},
		"reviews.shop":      {Ips: []string{"192.0.2.7"}},
	}
	add := func(name string, info *ndsv1.NameTable_NameInfo) { names[name] = info }
	add(service("ratings", "shop", "svc.cluster.local", "240.240.0.1"))
	add(service("reviews", "shop", "svc.cluster.local", "240.240.0.2"))
	add(service("db", "data", "svc.cluster.local", "240.240.0.3"))
	add(service("ratings", "shop", "svc.clusterset.local", "240.240.0.4"))
	return dns.NewTable(names, pod)
}

func TestLookup(t *testing.T) {
	const unknown = "not known"
	cases := map[string]struct {
		name  string
		qtype uint16
		want  string
	}{
		"Full":                   {"ratings.shop.svc.cluster.local.", mdns.TypeA, "ratings.shop.svc.cluster.local. A 240.240.0.1"},
		"NoIPv6":                 {"ratings.shop.svc.cluster.local.", mdns.TypeAAAA, ""},
		"OtherType":              {"ratings.shop.svc.cluster.local.", mdns.TypeSRV, unknown},
		"CaseIsKept":             {"Ratings.SHOP.svc.cluster.local.", mdns.TypeA, "Ratings.SHOP.svc.cluster.local. A 240.240.0.1"},
		"Short":                  {"ratings.", mdns.TypeA, "ratings. A 240.240.0.1"},
		"ShortWithNamespace":     {"db.data.", mdns.TypeA, "db.data. A 240.240.0.3"},
		"ShortWithSvc":           {"db.data.svc.", mdns.TypeA, "db.data.svc. A 240.240.0.3"},
		"ShortOfOtherNamespace":  {"db.", mdns.TypeA, unknown},
		"FullNameOverShortForm":  {"reviews.shop.", mdns.TypeA, "reviews.shop. A 192.0.2.7"},
		"ClusterSet":             {"ratings.shop.svc.clusterset.local.", mdns.TypeA, "ratings.shop.svc.clusterset.local. A 240.240.0.4"},
		"External":               {"api.example.com.", mdns.TypeA, "api.example.com. A 192.0.2.1\napi.example.com. A 192.0.2.2"},
		"WithSearchDomain":       {"api.example.com.shop.svc.cluster.local.", mdns.TypeA, "api.example.com.shop.svc.cluster.local. CNAME api.example.com.\napi.example.com. A 192.0.2.1\napi.example.com. A 192.0.2.2"},
		"WithForeignSearch":      {"db.data.svc.cluster.local.example.org.", mdns.TypeA, "db.data.svc.cluster.local.example.org. CNAME db.data.svc.cluster.local.\ndb.data.svc.cluster.local. A 240.240.0.3"},
		"SearchDomainNoIPv6":     {"api.example.com.cluster.local.", mdns.TypeAAAA, "api.example.com.cluster.local. CNAME api.example.com."},
		"SearchDomainAlone":      {"shop.svc.cluster.local.", mdns.TypeA, unknown},
		"Wildcard":               {"x.wild.example.", mdns.TypeA, "x.wild.example. A 192.0.2.3"},
		"WildcardOfSeveralParts": {"x.y.wild.example.", mdns.TypeA, "x.y.wild.example. A 192.0.2.3"},
		"NearestWildcard":        {"x.a.wild.example.", mdns.TypeA, "x.a.wild.example. A 192.0.2.4"},
		"WildcardItself":         {"wild.example.", mdns.TypeA, unknown},
		"Upper":                  {"upper.example.com.", mdns.TypeA, "upper.example.com. A 192.0.2.5"},
		"NoUsableAddress":        {"broken.example.", mdns.TypeA, unknown},
		"IPv4OfBoth":             {"both.example.", mdns.TypeA, "both.example. A 192.0.2.6"},
		"IPv6OfBoth":             {"both.example.", mdns.TypeAAAA, "both.example. AAAA 2001:db8::6"},
		"Unknown":                {"nowhere.example.", mdns.TypeA, unknown},
		"Root":                   {".", mdns.TypeA, unknown},
	}
	table := testTable()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			records, ok := table.Lookup(mdns.Question{Name: c.name, Qtype: c.qtype, Qclass: mdns.ClassINET})
			got := unknown
			if ok {
				got = text(records)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, ok := (*dns.Table)(nil).Lookup(mdns.Question{Name: "ratings.", Qtype: mdns.TypeA, Qclass: mdns.ClassINET}); ok {
		t.Error("no table knows a name")
	}
}

func text(records []mdns.RR) string {
	var out []string
	for _, r := range records {
		fields := strings.Fields(r.String())
		// Without TTL and class.
		out = append(out, strings.Join(append(fields[:1:1], fields[3:]...), " "))
	}
	return strings.Join(out, "\n")
}
