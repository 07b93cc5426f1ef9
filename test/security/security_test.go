// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/security"
)

var all = flag.Bool("all", false, "execute every case of the table, not only a share")

// share of the cases that are executed unless all are asked for: one in so many.
const share = 12

// TestTable executes the table and ends with its counts.
func TestTable(t *testing.T) {
	w := newWorld(t)
	executed, allowed, denied, byHand, n := 0, 0, 0, 0, 0
	var wrong [2]int
	for _, scenarios := range table(t, w) {
		for i := range scenarios {
			s := &scenarios[i]
			var calls []security.Call
			for _, c := range s.Calls {
				if n++; *all || n%share == 0 || c.Expect != "" {
					calls = append(calls, c)
				}
			}
			if len(calls) == 0 {
				continue
			}
			w.apply(s)
			clients := w.clients()
			for _, c := range calls {
				want := w.oracle.Verdict(s, c)
				if c.Expect != "" {
					byHand++
					if (want == security.Allowed) != (c.Expect == "allow") {
						t.Errorf("%s %v: the oracle says %d, a person says %s", s.Name, c, want, c.Expect)
					}
				}
				got, err := clients.verdict(c)
				if err != nil {
					t.Errorf("%s %v: %v", s.Name, c, err)
					continue
				}
				executed++
				if want == security.Allowed {
					allowed++
				} else {
					denied++
				}
				if got != want {
					if got == security.Allowed {
						wrong[0]++
					} else {
						wrong[1]++
					}
					if wrong[0]+wrong[1] < 60 {
						t.Errorf("%s %v: got %d, want %d", s.Name, c, got, want)
					}
				}
			}
			clients.close()
		}
	}
	fmt.Printf("security: %d cases on real Envoy (%d to allow, %d to deny; %d worked out by hand too): %d wrongly allowed, %d wrongly denied\n",
		executed, allowed, denied, byHand, wrong[0], wrong[1])
	if *all && executed < 5000 {
		t.Errorf("only %d cases were executed, want 5000", executed)
	}
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return files
}

// table of all files.
func table(t *testing.T, w *world) [][]security.Scenario {
	t.Helper()
	var out [][]security.Scenario
	for _, file := range mustGlob(t, "testdata/*.txtar") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scenarios, err := security.Read(strings.TrimSuffix(filepath.Base(file), ".txtar"), data, w.replacer())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, scenarios)
	}
	return out
}
