// SPDX-License-Identifier: Apache-2.0

package tasks_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the table of docs/tasks.md")

const (
	document = "../../docs/tasks.md"
	begin    = "<!-- the table begins: go test ./test/tasks -run TestTable -update -->\n"
	end      = "<!-- the table ends -->\n"
)

// TestTable holds docs/tasks.md to what the pages of testdata are. The first
// line of a page is its path in the documentation, and what is shown.
func TestTable(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| page | what is shown | by |\n|---|---|---|\n")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		path, shown, ok := strings.Cut(strings.TrimSpace(string(archive.Comment)), ": ")
		if !ok {
			t.Errorf("%s: its first line is not a path and what is shown", file)
		}
		var stories []string
		for _, f := range archive.Files {
			if !strings.HasSuffix(f.Name, ".yaml") {
				stories = append(stories, "`"+f.Name+"`")
			}
		}
		name := filepath.Base(file)
		fmt.Fprintf(&table, "| %s | %s | [%s](../test/tasks/testdata/%[3]s): %s |\n", path, shown, name, strings.Join(stories, ", "))
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	written, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", document)
	}
	if *update {
		if err := os.WriteFile(document, []byte(before+begin+table.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(written, table.String()); d != "" {
		t.Errorf("the table differs (-written +is); -update rewrites it:\n%s", d)
	}
}
