// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"os"
	"strings"
	"testing"
)

// TestRateLimitPage runs the examples of docs/ratelimits.md on real Envoys, all at once.
func TestRateLimitPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/ratelimits.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	for i, part := range strings.Split(string(text), "```") {
		if yaml, ok := strings.CutPrefix(part, "yaml\n"); i%2 == 1 && ok {
			examples = append(examples, yaml)
		}
	}
	if len(examples) != 3 {
		t.Fatalf("the page has %d examples", len(examples))
	}
	l := newLimited(t)
	newCountingService(l.pods["ratelimit"])
	l.push(briefly + "---\n" + strings.Join(examples, "---\n"))
	l.want(l.asks(20, "client", "/"), strings.TrimSuffix(strings.Repeat("200 ", 20), " "))
	// A token comes back in 0.6 s, and nobody is that slow for ever.
	until(t, "reads are refused", func() bool { return l.ask("client", "/").StatusCode == 429 })
	l.want(l.asks(1, "guest", "/"), "200")
	// The service is given 100 ms, and passed by where it takes longer: its limit is told in the end.
	until(t, "the gateway tells its limit", func() bool {
		r := l.ask("outside", "/", "x-tenant", "a")
		if r.StatusCode != 200 {
			t.Fatalf("through the gateway: %s %v", r.Status, r.Header)
		}
		return r.Header.Get("X-Ratelimit-Limit") != ""
	})
}
