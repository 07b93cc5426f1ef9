// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/golden"
)

// TestQueries: what Kiali asks to draw its graph, and what people ask, with
// the rows that answer it.
func TestQueries(t *testing.T) {
	data := scrape(t)
	golden.Archives(t, "rows", []string{"query"}, func(t *testing.T, parts map[string][]byte) string {
		rows, err := data.ask(t, string(parts["query"]))
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, row := range rows {
			fmt.Fprintf(&out, "%.4g %s\n", row.F, row.Metric)
		}
		return out.String()
	})
}
