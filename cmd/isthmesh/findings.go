// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/validate"
)

// finding is a Problem as it is told to people and to machines.
type finding struct {
	// Level is error for what is refused at admission, else warning.
	Level   string `json:"level"`
	Code    string `json:"code"`
	Object  string `json:"object"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// found makes findings of Problems: the errors first, each once.
func found(problems []model.Problem) []finding {
	out := make([]finding, 0, len(problems))
	for _, p := range problems {
		f := finding{Level: "warning", Code: p.Reason, Object: p.Kind + " " + strings.TrimPrefix(p.Namespace+"/"+p.Name, "/"), Field: p.Field, Message: p.Message}
		if validate.Refuses(p) {
			f.Level = "error"
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.Level, b.Level), strings.Compare(a.Object, b.Object), strings.Compare(a.Field, b.Field),
			strings.Compare(a.Code, b.Code), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

// printFindings writes one line per finding, or JSON.
func printFindings(out io.Writer, findings []finding, format string) error {
	if format == "json" {
		text, err := json.MarshalIndent(findings, "", "  ")
		if err != nil {
			return fmt.Errorf("write the findings: %w", err)
		}
		_, err = fmt.Fprintln(out, string(text))
		return err
	}
	for _, f := range findings {
		where := f.Object
		if f.Field != "" {
			where += " " + f.Field
		}
		if _, err := fmt.Fprintf(out, "%s [%s] %s: %s\n", f.Level, f.Code, where, f.Message); err != nil {
			return err
		}
	}
	return nil
}

// errFound ends a command that has found errors, which are printed already.
var errFound = errors.New("there are errors")

// judged is errFound when there is an error among the findings, or, if strict, anything.
func judged(findings []finding, strict bool) error {
	for _, f := range findings {
		if f.Level == "error" || strict {
			return errFound
		}
	}
	return nil
}

func checkFormat(format string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("--output %q: use text or json", format)
	}
	return nil
}

// readFiles as one stream of YAML documents; "-" is the standard input.
func readFiles(in io.Reader, names []string) ([]byte, error) {
	if len(names) == 0 {
		return nil, errors.New("no objects: name a file with -f, or - for the standard input")
	}
	var all []byte
	for _, name := range names {
		var data []byte
		var err error
		if name == "-" {
			data, err = io.ReadAll(in)
		} else {
			data, err = os.ReadFile(name)
		}
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		all = append(append(all, data...), "\n---\n"...)
	}
	return all, nil
}
