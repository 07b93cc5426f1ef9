// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/isthmesh/isthmesh/test/golden"
)

// TestValidateHub: what the API server and the hub's webhook would say of MeshFederations and
// MeshMembers, and that objects which no mesh reads are named, and not warned of.
func TestValidateHub(t *testing.T) {
	c, info := newValidateCommand(), &strings.Builder{}
	c.SetErr(info)
	text, err := execute(t, c, "", "-f", "testdata/hub.yaml")
	if err == nil {
		t.Error("there are errors, and it ends well")
	}
	if want := "not judged, since no mesh reads their kinds: Deployment shop/catalog, ServiceAccount shop/catalog\n"; info.String() != want {
		t.Errorf("it says %q, want %q", info, want)
	}
	golden.File(t, "testdata/hub.txt", text)
	if text, err := execute(t, newValidateCommand(), "", "-f", "../../config/samples/shop.yaml", "--strict"); err != nil || text != "" {
		t.Errorf("the sample: %v\n%s", err, text)
	}
}

// TestAnalyzeHub: analyze says of them in files what validate says.
func TestAnalyzeHub(t *testing.T) {
	hubs := func(text string) (out []string) {
		for line := range strings.Lines(text) {
			if strings.Contains(line, "] MeshFederation ") || strings.Contains(line, "] MeshMember ") {
				out = append(out, line)
			}
		}
		return out
	}
	c := newValidateCommand()
	c.SetErr(io.Discard)
	validated, _ := execute(t, c, "", "-f", "testdata/hub.yaml")
	analyzed, err := execute(t, newAnalyzeCommand(genericclioptions.NewConfigFlags(true)), "", "-f", "testdata/hub.yaml")
	if err == nil {
		t.Error("there are errors, and it ends well")
	}
	if d := cmp.Diff(hubs(validated), hubs(analyzed)); d != "" || len(hubs(validated)) == 0 {
		t.Errorf("validate (-) and analyze (+):\n%s", d)
	}
}
