// SPDX-License-Identifier: Apache-2.0

package envoy_test

import (
	"fmt"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

func TestCrowded(t *testing.T) {
	// Each of n hosts, every third one of which says something else.
	hosts := func(n int) []*routev3.VirtualHost {
		var out []*routev3.VirtualHost
		for i := range n {
			name := fmt.Sprintf("h%d", i)
			out = append(out, &routev3.VirtualHost{Name: name, Domains: []string{name}, IncludeRequestAttemptCount: i%3 == 1})
		}
		return out
	}
	for name, c := range map[string]struct {
		n int
		// want are the names, and how many domains each has.
		want []string
	}{
		"Few":          {3, []string{"h0 1", "h1 1", "h2 1"}},
		"AtTheLimit":   {envoy.Crowd, nil},
		"OneCrowd":     {envoy.Crowd + envoy.Crowd/2, nil},
		"TwoCrowds":    {3 * (envoy.Crowd + 1), []string{fmt.Sprintf("h0 %d", 2*(envoy.Crowd+1)), fmt.Sprintf("h1 %d", envoy.Crowd+1)}},
		"JustOneCrowd": {2 * envoy.Crowd, nil},
	} {
		t.Run(name, func(t *testing.T) {
			given := hosts(c.n)
			out := envoy.Crowded(given)
			domains := map[string]bool{}
			var got []string
			for _, h := range out {
				got = append(got, fmt.Sprintf("%s %d", h.GetName(), len(h.GetDomains())))
				for _, d := range h.GetDomains() {
					domains[d] = true
				}
			}
			if len(domains) != c.n {
				t.Errorf("%d of %d domains are left", len(domains), c.n)
			}
			if c.want != nil {
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("hosts (-want +got):\n%s", diff)
				}
			}
			if name == "JustOneCrowd" && len(out) != 1+c.n/3 {
				t.Errorf("there are %d hosts; those of the small kind, and one, are wanted", len(out))
			}
			for i, h := range given {
				if len(h.GetDomains()) != 1 {
					t.Fatalf("given host %d was changed", i)
				}
			}
		})
	}
}
