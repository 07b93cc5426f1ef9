// SPDX-License-Identifier: Apache-2.0

package redirect_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/agent/redirect"
	"github.com/isthmesh/isthmesh/test/golden"
)

func TestBuild(t *testing.T) {
	cases := map[string]func(*redirect.Options){
		"Everything": func(*redirect.Options) {},
		"DNS": func(o *redirect.Options) {
			o.CaptureDNS = true
			o.Nameservers = []netip.Addr{netip.MustParseAddr("10.96.0.10")}
		},
		"AllDNSOnBothFamilies": func(o *redirect.Options) { o.CaptureDNS, o.CaptureAllDNS, o.IPv6 = true, true, true },
		"Exclusions": func(o *redirect.Options) {
			o.ExcludeInboundPorts = []uint16{22, 15090}
			o.ExcludeOutboundPorts = []uint16{3306}
			o.ExcludeOutbound = []netip.Prefix{netip.MustParsePrefix("169.254.169.254/32"), netip.MustParsePrefix("2001:db8::/32")}
			o.ExcludeInterfaces = []string{"net1"}
			o.IPv6 = true
		},
		"OnlyWhatIsListed": func(o *redirect.Options) {
			o.IncludeInboundPorts = redirect.Ports{List: []uint16{80, 8080}}
			o.IncludeOutbound = redirect.Ranges{List: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/9")}}
			o.IncludeOutboundPorts = []uint16{443}
		},
		"NothingInbound": func(o *redirect.Options) { o.IncludeInboundPorts = redirect.Ports{} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			o := redirect.Defaults()
			change(&o)
			var got strings.Builder
			for _, r := range redirect.Build(o) {
				got.WriteString(r.String())
			}
			golden.File(t, filepath.Join("testdata", name+".nft"), got.String())
		})
	}
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		parse func(string) (any, error)
		in    string
		want  any
		err   string
	}{
		"AllPorts":     {ports, "*", redirect.Ports{All: true}, ""},
		"NoPorts":      {ports, "", redirect.Ports{}, ""},
		"SomePorts":    {ports, "443, 80,,80", redirect.Ports{List: []uint16{80, 443}}, ""},
		"PortZero":     {ports, "0", nil, `"0" is not a port: write numbers from 1 to 65535, separated by commas`},
		"PortTooLarge": {ports, "80,65536", nil, `"65536" is not a port: write numbers from 1 to 65535, separated by commas`},
		"AllRanges":    {ranges, " * ", redirect.Ranges{All: true}, ""},
		"SomeRanges": {ranges, "10.1.2.3/8,192.0.2.1,2001:db8::1/32", redirect.Ranges{List: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
		}}, ""},
		"NotARange":      {ranges, "10.0.0.0/33", nil, `"10.0.0.0/33" is not a range of addresses: write CIDRs such as 10.0.0.0/8, separated by commas`},
		"MappedRange":    {ranges, "::ffff:10.0.0.0/104", nil, `"::ffff:10.0.0.0/104" is an IPv4 address in IPv6 form: write it as IPv4`},
		"Interfaces":     {interfaces, "net1,eth1", []string{"eth1", "net1"}, ""},
		"BadInterface":   {interfaces, "a-name-that-is-too-long", nil, `"a-name-that-is-too-long" is not the name of a network interface (at most 15 characters)`},
		"QuoteInterface": {interfaces, `e"`, nil, `"e\"" is not the name of a network interface (at most 15 characters)`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := c.parse(c.in)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("error %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func ports(s string) (any, error)      { return redirect.ParsePorts(s) }
func ranges(s string) (any, error)     { return redirect.ParseRanges(s) }
func interfaces(s string) (any, error) { return redirect.ParseInterfaces(s) }
