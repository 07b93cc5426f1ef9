// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	ten := strings.Split("a b c d e f g h i j", " ")
	for name, test := range map[string]struct {
		names []string
		want  string
	}{
		"None":   {nil, ""},
		"One":    {ten[:1], "a"},
		"Ten":    {ten, "a, b, c, d, e, f, g, h, i, j"},
		"Twelve": {append(ten[:10:10], "k", "l"), "a, b, c, d, e, f, g, h, i, j and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Names(test.names); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
