// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	ndsv1 "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
)

// ttl is short, since an address may move at any time and asking again is cheap.
const ttl = 30

// Pod is what the meaning of a name depends on.
type Pod struct {
	Namespace string
	// Domain of services in this cluster ("svc.cluster.local").
	Domain string
	// Search are the suffixes that resolvers of the pod append.
	Search []string
}

// Table answers names. It is immutable. A nil table knows no name.
type Table struct {
	// hosts by name, lower case with a dot at the end; "*." stands first in wildcards.
	hosts  map[string]addresses
	search []string
}

type addresses struct{ v4, v6 []netip.Addr }

// NewTable makes a table of names. A name without a usable address is left out.
func NewTable(names map[string]*ndsv1.NameTable_NameInfo, pod Pod) *Table {
	t := &Table{hosts: map[string]addresses{}}
	for _, s := range pod.Search {
		if s = fqdn(s); s != "." {
			t.search = append(t.search, "."+s)
		}
	}
	// Full names first: what one service is called by in short never hides
	// what another one is called in full.
	short := map[string]addresses{}
	for name, info := range names {
		var at addresses
		for _, text := range info.GetIps() {
			a, err := netip.ParseAddr(text)
			switch {
			case err != nil || a.Zone() != "":
			case a.Unmap().Is4():
				at.v4 = append(at.v4, a.Unmap())
			default:
				at.v6 = append(at.v6, a)
			}
		}
		if len(at.v4)+len(at.v6) == 0 {
			continue
		}
		t.hosts[fqdn(name)] = at
		for _, alias := range aliases(fqdn(name), info, pod) {
			short[alias] = at
		}
	}
	for name, at := range short {
		if _, ok := t.hosts[name]; !ok {
			t.hosts[name] = at
		}
	}
	return t
}

// aliases are the short forms of a service of this cluster's own domain. One
// of another domain has none: its short form is the local service's.
func aliases(name string, info *ndsv1.NameTable_NameInfo, pod Pod) []string {
	if info.GetRegistry() != "Kubernetes" || info.GetShortname() == "" || !strings.HasSuffix(name, "."+fqdn(pod.Domain)) {
		return nil
	}
	namespaced := strings.ToLower(info.GetShortname() + "." + info.GetNamespace())
	out := []string{namespaced + "."}
	if first, _, ok := strings.Cut(pod.Domain, "."); ok {
		out = append(out, namespaced+"."+first+".")
	}
	if info.GetNamespace() == pod.Namespace {
		out = append(out, strings.ToLower(info.GetShortname())+".")
	}
	return out
}

// Lookup answers one question; false when the table doesn't know the name or
// doesn't answer the type. A known name without addresses of the family asked
// for has an answer that is empty.
func (t *Table) Lookup(q dns.Question) ([]dns.RR, bool) {
	if t == nil || q.Qclass != dns.ClassINET || (q.Qtype != dns.TypeA && q.Qtype != dns.TypeAAAA) {
		return nil, false
	}
	name := strings.ToLower(q.Name)
	if at, ok := t.find(name); ok {
		return at.records(q.Name, q.Qtype), true
	}
	for _, suffix := range t.search {
		// The resolver appended a suffix to what is a full name already.
		host, ok := strings.CutSuffix(name, suffix)
		if !ok || host == "" {
			continue
		}
		if at, ok := t.find(host + "."); ok {
			alias := &dns.CNAME{Hdr: header(q.Name, dns.TypeCNAME), Target: host + "."}
			return append([]dns.RR{alias}, at.records(host+".", q.Qtype)...), true
		}
	}
	return nil, false
}

// find looks for the name itself, then for wildcards above it, nearest first.
func (t *Table) find(name string) (addresses, bool) {
	if at, ok := t.hosts[name]; ok {
		return at, true
	}
	for rest := name; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok || parent == "" {
			return addresses{}, false
		}
		if at, ok := t.hosts["*."+parent]; ok {
			return at, true
		}
		rest = parent
	}
}

func (a addresses) records(name string, qtype uint16) []dns.RR {
	var out []dns.RR
	if qtype == dns.TypeA {
		for _, ip := range a.v4 {
			out = append(out, &dns.A{Hdr: header(name, qtype), A: ip.AsSlice()})
		}
		return out
	}
	for _, ip := range a.v6 {
		out = append(out, &dns.AAAA{Hdr: header(name, qtype), AAAA: ip.AsSlice()})
	}
	return out
}

func header(name string, qtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: qtype, Class: dns.ClassINET, Ttl: ttl}
}

// rotate begins an answer at another of its addresses, so that clients that
// take the first spread.
func rotate(records []dns.RR, by int) []dns.RR {
	first := slices.IndexFunc(records, func(r dns.RR) bool { return r.Header().Rrtype != dns.TypeCNAME })
	if first < 0 || len(records)-first < 2 {
		return records
	}
	tail := records[first:]
	at := by % len(tail)
	return slices.Concat(records[:first], tail[at:], tail[:at])
}

func fqdn(name string) string { return strings.ToLower(dns.Fqdn(name)) }
