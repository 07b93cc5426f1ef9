// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClaimPath(t *testing.T) {
	for name, test := range map[string]struct {
		rest string
		want []string
	}{
		"Dots":       {".name.givenName", []string{"name", "givenName"}},
		"Brackets":   {"[foo.com/name][x]", []string{"foo.com/name", "x"}},
		"Nothing":    {"", nil},
		"Empty":      {"..a", nil},
		"Unclosed":   {"[a", nil},
		"NoSplitter": {"a", nil},
		"Nested":     {"[[a]]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(test.want, claimPath(test.rest)); d != "" {
				t.Error(d)
			}
		})
	}
}
