// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmesh/isthmesh/test/verdicts"
)

// TestValidateAndAnalyzeAgree gives all that test/verdicts knows to both
// commands: what one finds wrong with an object by itself, the other does too.
// That the webhook says what validate says is seen there.
func TestValidateAndAnalyzeAgree(t *testing.T) {
	cases, err := verdicts.Cases()
	if err != nil {
		t.Fatal(err)
	}
	// Each of so many: reading and building takes time.
	const batch, each = 250, 5
	part := cases[:0:0]
	for i, c := range cases {
		if i%each == 0 || strings.Contains(c.Name, "/edge/") {
			part = append(part, c)
		}
	}
	cases = part
	for at := 0; at < len(cases); at += batch {
		part := cases[at:min(at+batch, len(cases))]
		var documents bytes.Buffer
		names := map[string]string{}
		for i, c := range part {
			// Each has a namespace of its own, so that none is in the way of another.
			u := unstructured.Unstructured{Object: c.Object}
			u.SetNamespace(fmt.Sprintf("n%d", i))
			text, err := json.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			documents.Write(text)
			documents.WriteString("\n---\n")
			names[fmt.Sprintf("%s %s/%s", u.GetKind(), u.GetNamespace(), u.GetName())] = c.Name
		}
		v := validateOptions{files: []string{"-"}, output: "json", settings: defaultSettings()}
		var validated, analyzed bytes.Buffer
		if err := v.run(t.Context(), bytes.NewReader(documents.Bytes()), &validated, io.Discard); err != nil && !errors.Is(err, errFound) {
			t.Fatal(err)
		}
		a := analyzeOptions{files: []string{"-"}, output: "json", namespace: "istio-system", settings: defaultSettings()}
		if err := a.run(context.Background(), nil, bytes.NewReader(documents.Bytes()), &analyzed); err != nil && !errors.Is(err, errFound) {
			t.Fatal(err)
		}
		one, other := wrong(t, validated.Bytes()), wrong(t, analyzed.Bytes())
		for object, name := range names {
			if (len(one[object]) > 0) != (len(other[object]) > 0) {
				t.Errorf("%s: validate finds %q wrong, and analyze %q", name, one[object], other[object])
			}
		}
	}
}

// wrong is what is refused, by object.
func wrong(t *testing.T, text []byte) map[string][]string {
	t.Helper()
	var all []finding
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, f := range all {
		if f.Level == "error" && !slices.Contains(out[f.Object], f.Message) {
			out[f.Object] = append(out[f.Object], f.Field+": "+f.Message)
		}
	}
	return out
}
