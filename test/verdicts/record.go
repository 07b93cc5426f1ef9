// SPDX-License-Identifier: Apache-2.0

package verdicts

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Verdict on a case.
type Verdict byte

// Verdicts, as the record has them.
const (
	Accepted Verdict = '.'
	// Warned is accepted, with something said about it.
	Warned Verdict = 'w'
	// Refused by the webhook.
	Refused Verdict = 'r'
	// Schema is refused before the webhook is asked: by the kind's own definition.
	Schema Verdict = 's'
)

func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case Warned:
		return "warned"
	case Refused:
		return "refused"
	case Schema:
		return "refused by the schema"
	}
	return "unknown"
}

// Stored is true for what gets into the cluster.
func (v Verdict) Stored() bool { return v == Accepted || v == Warned }

// Record is Istio's verdicts, by the name of the case.
type Record map[string]Verdict

// group of a case in the record: all that was tried of one field is one line.
func group(name string) string {
	group, _, _ := strings.Cut(name, ": ")
	return group
}

// Write the verdicts of these cases to a folder: a file for each kind, and in
// it a line for each field with a letter for each case, in the order of Cases.
func (r Record) Write(dir string, cases []Case) error {
	files := map[string]*strings.Builder{}
	last := ""
	for _, c := range cases {
		kind := c.Kind()
		b := files[kind]
		if b == nil {
			b = &strings.Builder{}
			b.WriteString("# What Istio says: . accepted, w with a warning, r refused, s refused by the schema.")
			files[kind] = b
		}
		if g := group(c.Name); g != last || b.Len() == 0 {
			fmt.Fprintf(b, "\n%s ", g)
			last = g
		}
		b.WriteByte(byte(r[c.Name]))
	}
	for _, kind := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, strings.ToLower(kind)+".txt")
		if err := os.WriteFile(path, []byte(files[kind].String()+"\n"), 0o644); err != nil { //nolint:gosec // it is a record
			return err
		}
	}
	return nil
}

// ReadRecord reads what Write wrote. An error tells of cases that are no longer
// those of the record.
func ReadRecord(dir string, cases []Case) (Record, error) {
	letters := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // it is a record
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			if i := strings.LastIndexByte(line, ' '); i > 0 && !strings.HasPrefix(line, "#") {
				letters[line[:i]] += line[i+1:]
			}
		}
	}
	record := Record{}
	for _, c := range cases {
		g := group(c.Name)
		if letters[g] == "" {
			return nil, fmt.Errorf("the record has nothing of %q; write it anew: make peer", c.Name)
		}
		record[c.Name] = Verdict(letters[g][0])
		letters[g] = letters[g][1:]
	}
	for _, g := range slices.Sorted(maps.Keys(letters)) {
		if letters[g] != "" {
			return nil, fmt.Errorf("the record has more of %q than there are cases; write it anew: make peer", g)
		}
	}
	return record, nil
}
