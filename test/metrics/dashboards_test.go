// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/golden"
)

// dashboards of Istio, with values for their variables.
var dashboards = map[string]map[string]string{
	"istio-mesh-dashboard.gen.json": {},
	"istio-service-dashboard.json": {
		"service": "reviews.shop.svc.cluster.local", "qrep": "(source|destination)", "srcns": "(.*)", "srcwl": "(.*)",
		"dstns": "(.*)", "dstwl": "(.*)", "srccluster": "(.*)", "dstcluster": "(.*)",
	},
	"istio-workload-dashboard.json": {
		"namespace": "shop", "workload": "ratings-v1", "qrep": "(source|destination)", "srcns": "(.*)", "srcwl": "(.*)", "dstsvc": "(.*)",
	},
}

type panel struct {
	Title   string
	Panels  []panel
	Targets []struct{ RefID, Expr string }
}

// TestDashboards runs each query of the dashboards, as they stand in the module
// cache. The golden files tell how many rows each has.
func TestDashboards(t *testing.T) {
	data, folder := scrape(t), filepath.Join(upstream(t), "manifests", "addons", "dashboards")
	for name, variables := range dashboards {
		t.Run(strings.TrimSuffix(name, ".json"), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			var dashboard panel
			if err := json.Unmarshal(text, &dashboard); err != nil {
				t.Fatal(err)
			}
			replaced := []string{"$__rate_interval", "1m"}
			for variable, value := range variables {
				replaced = append(replaced, "$"+variable, value)
			}
			var out strings.Builder
			answers(t, data, strings.NewReplacer(replaced...), dashboard.Panels, &out)
			golden.File(t, filepath.Join("testdata", strings.TrimSuffix(name, ".json")+".txt"), out.String())
		})
	}
}

func answers(t *testing.T, data scraped, variables *strings.Replacer, panels []panel, out *strings.Builder) {
	t.Helper()
	for _, p := range panels {
		for i, target := range p.Targets {
			if target.Expr == "" {
				continue
			}
			query := variables.Replace(target.Expr)
			if strings.Contains(query, "$") {
				t.Errorf("%s: a variable has no value: %s", p.Title, query)
				continue
			}
			rows, err := data.ask(t, query)
			if err != nil {
				t.Errorf("%s: %s: %v", p.Title, query, err)
			}
			fmt.Fprintf(out, "%3d rows  %s, query %d\n", len(rows), p.Title, i+1)
		}
		answers(t, data, variables, p.Panels, out)
	}
}

// upstream is the folder of Istio's sources in the module cache.
func upstream(t *testing.T) string {
	t.Helper()
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "istio.io/istio")
	download.Dir = filepath.Join("..", "conformance", "echoadvanced")
	out, err := download.Output()
	var module struct{ Dir string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr != nil || module.Dir == "" {
		t.Fatalf("Istio's dashboards are not in the module cache: run `make prepare` (%v)", err)
	}
	return module.Dir
}
