// SPDX-License-Identifier: Apache-2.0

// Package golden compares what tests make with files of their testdata. With
// -update it writes the files instead.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// File compares with a whole file; of a new one it says how it is made.
func File(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		write(t, file, []byte(got))
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run go test with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
	}
}

// Archives runs a test for each testdata/*.txtar, which makes the part want out
// of the other parts. A part that isn't known fails the test.
func Archives(t *testing.T, want string, known []string, test func(t *testing.T, parts map[string][]byte) string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts, at := map[string][]byte{}, -1
			for i, f := range archive.Files {
				switch {
				case f.Name == want:
					at = i
				case slices.Contains(known, f.Name):
					parts[f.Name] = f.Data
				default:
					t.Fatalf("unknown part %q", f.Name)
				}
			}
			got := test(t, parts)
			if *update {
				if at < 0 {
					at = len(archive.Files)
					archive.Files = append(archive.Files, txtar.File{Name: want})
				}
				archive.Files[at].Data = []byte(got)
				write(t, file, txtar.Format(archive))
				return
			}
			if at < 0 {
				t.Fatalf("no part %q: run go test with -update", want)
			}
			if diff := cmp.Diff(string(archive.Files[at].Data), got); diff != "" {
				t.Errorf("%s (-want +got; -update rewrites it):\n%s", want, diff)
			}
		})
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
