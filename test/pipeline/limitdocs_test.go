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
	// A token comes back in 0.6 s of the 20 that may come at once; nobody is that slow 20 times.
	got := l.asks(60, "client", "/")
	if !strings.HasPrefix(got, strings.Repeat("200 ", 20)) || !strings.Contains(got, "429") {
		t.Errorf("reads: %s", got)
	}
	l.want(l.asks(1, "guest", "/"), "200")
	if r := l.ask("outside", "/", "x-tenant", "a"); r.StatusCode != 200 || r.Header.Get("X-Ratelimit-Limit") == "" {
		t.Errorf("through the gateway: %s %v", r.Status, r.Header)
	}
}
