// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

var update = flag.Bool("update", false, "rewrite the table in docs/fields.md")

const page = "../../docs/fields.md"

var index = regexp.MustCompile(`\[[^\]]*\]`)

// testPage compares the page with what objects that set every field are told. It
// runs after them.
func testPage(t *testing.T) {
	rows := map[string]string{}
	for _, p := range unhonoured {
		field := strings.TrimPrefix(strings.TrimPrefix(index.ReplaceAllString(p.Field, ""), "spec."), "data.mesh.")
		kind := p.Kind
		if kind == "ConfigMap" {
			kind = "MeshConfig"
		}
		if _, whole := ingest.Unhonoured[field]; kind == "MeshConfig" && whole {
			continue
		}
		rows[kind+"\x00"+field] = p.Message
	}
	for field, mend := range ingest.Unhonoured {
		rows["MeshConfig\x00"+field] = mend
	}
	var table strings.Builder
	table.WriteString("| kind | field | what the object's condition says |\n|---|---|---|\n")
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		kind, field, _ := strings.Cut(row, "\x00")
		fmt.Fprintf(&table, "| %s | `%s` | %s |\n", kind, field, strings.ReplaceAll(rows[row], "|", `\|`))
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- the table begins: go test ./test/fields -update -->\n", "<!-- the table ends -->"
	before, rest, _ := strings.Cut(string(text), begin)
	was, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no table", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o644); err != nil { //nolint:gosec // it is a page
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(was, table.String()); diff != "" {
		t.Errorf("the page differs; go test ./test/fields -update rewrites it (-page +told):\n%s", diff)
	}
}
