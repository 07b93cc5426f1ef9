// SPDX-License-Identifier: Apache-2.0

package compared_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the table of docs/compared.md")

const (
	page  = "../../docs/compared.md"
	begin = "<!-- the table begins: go test ./test/compared -run TestPage -update -->\n"
	end   = "<!-- the table ends -->\n"
)

// difference that is meant: what it is, what Istio and we do, why, and all calls
// where it shows.
type difference struct {
	Title, Istio, Ours, Why string
	Calls                   []string
}

func differences(t *testing.T) []difference {
	t.Helper()
	text, err := os.ReadFile("testdata/differences.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []difference
	if err := yaml.UnmarshalStrict(text, &out); err != nil {
		t.Fatal(err)
	}
	for _, d := range out {
		if d.Title == "" || d.Istio == "" || d.Ours == "" || d.Why == "" || len(d.Calls) == 0 {
			t.Errorf("%+v says too little", d)
		}
	}
	return out
}

// TestPage holds docs/compared.md to the differences that are meant.
func TestPage(t *testing.T) {
	asked, meant := 0, 0
	all := cases(t)
	for _, c := range all {
		asked += len(c.Calls)
	}
	rows := differences(t)
	for _, r := range rows {
		meant += len(r.Calls)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%d calls are asked in %d sets of objects. %d have Istio's answer, %d differ, for these %d reasons:\n\n", asked, len(all), asked-meant, meant, len(rows))
	table.WriteString("| what | Istio | Isthmesh | why | seen in |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		where, _, _ := strings.Cut(r.Calls[0], ": ")
		fmt.Fprintf(&table, "| %s | %s | %s | %s | `%s` |\n", r.Title, r.Istio, r.Ours, r.Why, where)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	written, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(written, table.String()); d != "" {
		t.Errorf("the table differs (-written +is); -update rewrites it:\n%s", d)
	}
}
