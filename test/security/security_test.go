// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/security"
)

var all = flag.Bool("all", false, "execute every case of the table, not only a share")

// share of the cases that are executed unless all are asked for: one in so many.
const share = 12

// The least that -all executes at a sidecar or a gateway.
const least = 5000

// TestTable executes the table at a sidecar, TestTableAtIngress and
// TestTableAtEgress at gateways, where more of it stands in a folder of the
// place's name.
func TestTable(t *testing.T) {
	w := newWorld(t)
	enough(t, w.execute(t, table(t, w, "testdata/*.txtar"), func(c security.Call) string {
		if c.TCP() {
			return "sidecar, TCP"
		}
		return "sidecar, HTTP"
	}), least)
}

func TestTableAtIngress(t *testing.T) { atGate(t, "ingress") }

func TestTableAtEgress(t *testing.T) { atGate(t, "egress") }

// TestTableAtEastWest has a table of its own: a gateway between networks passes
// TLS on, sees addresses and server names, and knows no identity.
func TestTableAtEastWest(t *testing.T) {
	w := newGate(t, "eastwest")
	w.execute(t, table(t, w, "testdata/eastwest/*.txtar"), func(security.Call) string { return "east-west gateway" })
}

func atGate(t *testing.T, name string) {
	t.Helper()
	w := newGate(t, name)
	files := append(table(t, w, "testdata/"+name+"/*.txtar"), table(t, w, "testdata/*.txtar")...)
	for i, scenarios := range files {
		files[i] = nil
		for j, s := range scenarios {
			// A gateway's listeners take longer to change than a sidecar's.
			if *all || j%5 == 0 || s.Judged() && strings.HasPrefix(s.Name, name) {
				files[i] = append(files[i], s)
			}
		}
	}
	enough(t, w.execute(t, files, func(security.Call) string { return name + " gateway" }), least)
}

// enough cases were executed, when all are asked for.
func enough(t *testing.T, cases, least int) {
	t.Helper()
	if *all && cases < least {
		t.Errorf("only %d cases were executed, want %d", cases, least)
	}
}

// execute the calls of scenarios, count them by place, and return how many there were.
func (w *world) execute(t *testing.T, files [][]security.Scenario, place func(security.Call) string) int {
	t.Helper()
	n := 0
	sum := tally{}
	for _, scenarios := range files {
		for i := range scenarios {
			var calls []security.Call
			for _, c := range scenarios[i].Calls {
				if n++; *all || n%share == 0 || c.Expect != "" {
					calls = append(calls, c)
				}
			}
			if len(calls) == 0 {
				continue
			}
			w.apply(&scenarios[i])
			w.judge(t, &scenarios[i], calls, place, &sum)
		}
	}
	return sum.cases()
}

// tooMany mistakes are not listed one by one.
const tooMany = 60

// judge calls under policies that are in force.
func (w *world) judge(t *testing.T, s *security.Scenario, calls []security.Call, place func(security.Call) string, sum *tally) {
	t.Helper()
	clients := w.clients()
	defer clients.close()
	for _, c := range calls {
		want, one := w.oracle.Verdict(s, c), tally{}
		if c.Expect != "" {
			one.byHand++
			if (want == security.Allowed) != (c.Expect == "allow") {
				t.Errorf("%s %v: the oracle says %d, a person says %s", s.Name, c, want, c.Expect)
			}
		}
		got, err := clients.verdict(c)
		if err != nil {
			t.Errorf("%s %v: %v", s.Name, c, err)
			continue
		}
		if !one.count(want, got) && sum.wronglyAllowed+sum.wronglyDenied < tooMany {
			t.Errorf("%s %v: got %d, want %d", s.Name, c, got, want)
		}
		record(place(c), one)
		sum.add(one)
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

// table of the files that a pattern finds.
func table(t *testing.T, w *world, pattern string) [][]security.Scenario {
	t.Helper()
	var out [][]security.Scenario
	for _, file := range mustGlob(t, pattern) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scenarios, err := security.Read(strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "testdata/"), ".txtar"), data, w.replacer())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, scenarios)
	}
	return out
}
