// SPDX-License-Identifier: Apache-2.0

package northsouth

import "testing"

func TestIntersect(t *testing.T) {
	for name, c := range map[string]struct{ a, b, want string }{
		"Equal":             {"a.example", "a.example", "a.example"},
		"All":               {"*", "a.example", "a.example"},
		"AllWildcard":       {"*.example", "*", "*.example"},
		"Wildcard":          {"*.example", "a.example", "a.example"},
		"WildcardDeep":      {"*.example", "b.a.example", "b.a.example"},
		"Wildcards":         {"*.example", "*.a.example", "*.a.example"},
		"NotItself":         {"*.example", "example", ""},
		"NotByEnding":       {"*.ample", "a.example", ""},
		"Others":            {"a.example", "b.example", ""},
		"WildcardsOfOthers": {"*.a.example", "*.b.example", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
				got, ok := intersect(pair[0], pair[1])
				if got != c.want || ok != (c.want != "") {
					t.Errorf("%v: got %q, %v, want %q", pair, got, ok, c.want)
				}
			}
		})
	}
}

func TestSpecificity(t *testing.T) {
	order := []string{"*", "*.a", "*.example", "*.a.example", "a", "a.example", "a.b.example"}
	for i := 1; i < len(order); i++ {
		if specificity(order[i-1]) >= specificity(order[i]) {
			t.Errorf("%q goes before %q", order[i-1], order[i])
		}
	}
}

func TestUsable(t *testing.T) {
	for host, want := range map[string]bool{"*": true, "a": true, "*.a": true, "": false, "*a": false, "*.": false, "a.*": false, "a b": false, "a/b": false, "*.*.a": false} {
		if usable(host) != want {
			t.Errorf("%q: %v, want %v", host, !want, want)
		}
	}
}
