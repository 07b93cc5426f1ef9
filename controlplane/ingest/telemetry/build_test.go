// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest/telemetry"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "write what comes of the objects into testdata")

func read(t *testing.T, text string) telemetry.Input {
	t.Helper()
	in := telemetry.Input{Settings: &model.Settings{RootNamespace: "istio-system", LogProviders: []model.LogProvider{{Name: "Calls"}, {Name: "envoy"}}, MetricProviders: []string{"prometheus"}}}
	for i, doc := range strings.Split(text, "\n---\n") {
		o := &telemetryv1.Telemetry{}
		if err := yaml.Unmarshal([]byte(doc), o); err != nil {
			t.Fatal(err)
		}
		if o.Name == "" {
			o.Name = fmt.Sprint("t", i)
		}
		if o.Namespace == "" {
			o.Namespace = "shop"
		}
		in.Telemetries = append(in.Telemetries, o)
	}
	return in
}

func written(out *telemetry.Output) string {
	var b strings.Builder
	for _, t := range out.Telemetries {
		fmt.Fprintf(&b, "%s/%s for %v\n", t.Namespace, t.Name, t.Target)
		for _, r := range t.Logs {
			fmt.Fprintf(&b, "  to %v side=%d disabled=%v filter=%q\n", r.Providers, r.Side, r.Disabled, r.Filter)
		}
		for _, r := range t.Metrics {
			fmt.Fprintf(&b, "  counts named=%v elsewhere=%v\n", r.Named, r.Elsewhere)
			for _, o := range r.Overrides {
				fmt.Fprintf(&b, "    %s side=%d count=%d without %v with %v\n", o.Metric, o.Side, o.Count, o.Remove, o.Set)
			}
		}
	}
	for _, p := range out.Problems {
		fmt.Fprintf(&b, "%s %s: %s: %s\n", p.Name, p.Field, p.Reason, p.Message)
	}
	return b.String()
}

// TestObjects: each pair of files has objects, then what comes of them.
func TestObjects(t *testing.T) {
	const file = "testdata/objects.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		t.Run(archive.Files[i].Name, func(t *testing.T) {
			in := read(t, string(archive.Files[i].Data))
			out := telemetry.Build(in, nil)
			got := written(out)
			if d := cmp.Diff(string(archive.Files[i+1].Data), got); d != "" && !*update {
				t.Errorf("-want +got; go test -update rewrites it:\n%s", d)
			}
			archive.Files[i+1].Data = []byte(got)
			if telemetry.Build(in, out) != out {
				t.Error("the same input makes another output")
			}
			in.Telemetries = append(in.Telemetries[:0:0], in.Telemetries...)
			for j, now := range telemetry.Build(in, out).Telemetries {
				if now != out.Telemetries[j] {
					t.Errorf("%s says the same and has another pointer", now.Name)
				}
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
