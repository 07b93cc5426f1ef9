// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/isthmesh/isthmesh/controllers/ratelimits"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/ratelimit"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/golden"
)

const limitsFile = "testdata/limits.yaml"

// TestAnalyzeLimits: what analyze and validate find out about RateLimitPolicies, with code,
// object, field and mend.
func TestAnalyzeLimits(t *testing.T) {
	analyzed, _ := execute(t, newAnalyzeCommand(genericclioptions.NewConfigFlags(true)), "", "-f", limitsFile)
	validated, _ := execute(t, newValidateCommand(), "", "-f", limitsFile)
	golden.File(t, "testdata/limits.txt", "analyze\n"+analyzed+"\nvalidate\n"+validated)
}

// TestLimitsAsTheClusterSays: analyze says of each policy what its conditions would say in a
// cluster, and nothing else.
func TestLimitsAsTheClusterSays(t *testing.T) {
	text, err := os.ReadFile(limitsFile)
	if err != nil {
		t.Fatal(err)
	}
	read, err := manifest.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	read.Settings = defaultSettings()
	mesh := ingest.Build(read.Input, nil).Mesh
	told := slices.Concat(mesh.Problems, snapshot.Build(mesh, nil).AllProblems())
	// by policy and condition
	offline := map[string][]string{}
	for _, f := range found(together(read.Input)) {
		condition := ratelimits.Accepted
		if f.Code == ratelimit.NoWorkloads {
			condition = ratelimits.Programmed
		}
		key := f.Object + " " + condition
		offline[key] = append(offline[key], f.Field+": "+f.Message)
	}
	statuses := ratelimits.Statuses(read.RateLimitPolicies, mesh, told)
	if len(statuses) < 12 {
		t.Fatalf("there are %d policies", len(statuses))
	}
	for _, s := range statuses {
		for _, c := range s.Conditions {
			message := c.Message
			if c.Status == metav1.ConditionTrue || c.Reason == "NotAccepted" {
				message = ""
			}
			if d := cmp.Diff(message, strings.Join(offline["RateLimitPolicy "+s.Namespace+"/"+s.Name+" "+c.Type], "; ")); d != "" {
				t.Errorf("%s/%s %s (-in a cluster +offline):\n%s", s.Namespace, s.Name, c.Type, d)
			}
		}
	}
}
