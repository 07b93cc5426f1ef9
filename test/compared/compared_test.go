// SPDX-License-Identifier: Apache-2.0

package compared_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/isthmesh/isthmesh/test/compared"
	"github.com/isthmesh/isthmesh/test/compared/ours"
)

// TestCompared: what becomes of each call is what Istio's control plane wrote down
// for it, unless a row of testdata/differences.yaml says why not.
func TestCompared(t *testing.T) {
	meant, differ := map[string]bool{}, map[string]bool{}
	rows := differences(t)
	for _, r := range rows {
		for _, c := range r.Calls {
			meant[c] = true
		}
	}
	for _, c := range cases(t) {
		t.Run(c.String(), func(t *testing.T) {
			views, err := ours.Views(c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := compared.Run(c, views)
			if err != nil {
				t.Fatal(err)
			}
			istio, ours := answers(c.Istio), answers(got)
			for _, q := range c.Calls {
				key := c.String() + ": " + q
				if istio[q] == ours[q] {
					continue
				}
				differ[key] = true
				if !meant[key] {
					t.Errorf("%s\nIstio:\n%sours:\n%sof these objects:\n%s", q, istio[q], ours[q], c.YAML)
				}
			}
		})
	}
	for _, r := range rows {
		for _, key := range r.Calls {
			if !differ[key] {
				t.Errorf("%s: %q does not differ, or is not asked", r.Title, key)
			}
		}
	}
}

// cases of testdata, and the random ones that Istio has answered.
func cases(t *testing.T) []*compared.Case {
	t.Helper()
	out, err := compared.Cases("testdata")
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := os.ReadFile("testdata/cluster.txt")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := txtar.ParseFile("testdata/random/istio.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) == 0 {
		t.Fatal("no random cases are answered")
	}
	for _, f := range archive.Files {
		seed, err := strconv.ParseUint(f.Name, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c := compared.Random(string(cluster), seed)
		c.Istio = string(f.Data)
		out = append(out, c)
	}
	return out
}

// answers of a part, by their questions.
func answers(part string) map[string]string {
	out := map[string]string{}
	question := ""
	for line := range strings.Lines(part) {
		if strings.HasPrefix(line, "\t") {
			out[question] += line
			continue
		}
		question = strings.TrimSpace(line)
	}
	return out
}
