// SPDX-License-Identifier: Apache-2.0

package calls

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"istio.io/istio/pkg/log"

	"github.com/isthmesh/isthmesh/test/compared"
)

const folder = "../../compared/testdata"

var update = flag.Bool("update", false, "write Istio's answers into test/compared/testdata")

// TestMain keeps Istio's log to itself.
func TestMain(m *testing.M) {
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.NoneLevel)
	}
	m.Run()
}

// TestRecorded asks Istio's control plane the calls of test/compared: what is
// written down there must be what it answers.
func TestRecorded(t *testing.T) {
	cases, err := compared.Cases(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.String(), func(t *testing.T) {
			views, err := istiod(t, c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := compared.Run(c, views)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				c.Istio = got
				return
			}
			if d := cmp.Diff(c.Istio, got); d != "" {
				t.Errorf("Istio answers otherwise (-written +is); -update writes it down:\n%s", d)
			}
		})
	}
	if *update && !t.Failed() {
		if err := compared.Record(cases); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	seeds   = flag.Uint64("seeds", 60, "how many random cases")
	answers = flag.String("answers", folder+"/random/istio.txtar", "the file of Istio's answers to them")
)

// TestRandom writes down, or checks, what Istio's control plane answers to random
// cases. One that Istio refuses has no answer.
func TestRandom(t *testing.T) {
	cluster, err := os.ReadFile(folder + "/cluster.txt")
	if err != nil {
		t.Fatal(err)
	}
	archive := &txtar.Archive{Comment: []byte("What Istio answers to random cases, by their seeds.\n")}
	for seed := range *seeds {
		c := compared.Random(string(cluster), seed)
		if kinds, err := parse(c); err != nil {
			t.Logf("seed %d: %v", seed, err)
			continue
		} else if len(kinds) == 0 {
			t.Fatalf("seed %d has no objects", seed)
		}
		t.Run(c.Name, func(t *testing.T) {
			views, err := istiod(t, c)
			if err != nil {
				t.Fatal(err)
			}
			text, err := compared.Run(c, views)
			if err != nil {
				t.Fatal(err)
			}
			archive.Files = append(archive.Files, txtar.File{Name: c.Name, Data: []byte(text)})
		})
	}
	if *update {
		if err := os.WriteFile(*answers, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	written, err := os.ReadFile(*answers)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(written), string(txtar.Format(archive))); d != "" {
		t.Errorf("Istio answers otherwise (-written +is); -update writes it down:\n%s", d)
	}
}
