// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/isthmesh/isthmesh/test/clashes"
)

// TestClashesOffline: what a running control plane tells of two objects that clash
// (cmd/controlplane, TestTheOldestWins) analyze tells of their files, of all and
// of each pair by itself, and nothing when the winner isn't there.
func TestClashesOffline(t *testing.T) {
	pair := func(name string) (both, alone string) {
		winner, loser := clashes.Names(name)
		c := clashes.All[name]
		alone = c.Object(loser, "2026-01-02T00:00:00Z")
		return alone + "---\n" + c.Object(winner, "2026-01-01T00:00:00Z") + "---\n", alone + "---\n"
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(clashes.All)) {
		both, alone := pair(name)
		files = append(files, both)
		t.Run(name, func(t *testing.T) {
			judge(t, clashes.Beside+"---\n"+both, name)
			judge(t, clashes.Beside+"---\n"+alone)
		})
	}
	t.Run("AllTogether", func(t *testing.T) {
		judge(t, clashes.Beside+"---\n"+strings.Join(files, ""), slices.Sorted(maps.Keys(clashes.All))...)
	})
}

// judge what analyze says of files, of what loses to something: that and only that
// is to be said of the clashes.
func judge(t *testing.T, files string, names ...string) {
	t.Helper()
	out, err := execute(t, newAnalyzeCommand(genericclioptions.NewConfigFlags(true)), files, "-f", "-", "-o", "json")
	if err != nil && !errors.Is(err, errFound) {
		t.Fatal(err)
	}
	var findings []finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	findings = slices.DeleteFunc(findings, func(f finding) bool { return f.Level != "error" && !strings.Contains(f.Code, "Conflict") })
	for _, name := range names {
		winner, loser := clashes.Names(name)
		c := clashes.All[name]
		n := len(findings)
		findings = slices.DeleteFunc(findings, func(f finding) bool {
			return f.Code == c.Reason && f.Object == c.Kind+" "+clashes.Namespace+"/"+loser && f.Field == c.Field &&
				strings.Contains(f.Message, " "+clashes.Namespace+"/"+winner)
		})
		if len(findings) != n-1 {
			t.Errorf("%s: nobody says that %s loses to %s, or more than once:\n%s", name, loser, winner, out)
		}
	}
	for _, f := range findings {
		t.Errorf("%s %s of %s: %s", f.Code, f.Field, f.Object, f.Message)
	}
}
