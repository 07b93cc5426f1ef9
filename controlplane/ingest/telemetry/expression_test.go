// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"strings"
	"testing"
)

// TestWrongExpressions: what Envoy refuses is named; test/pipeline shows that it takes
// what passes.
func TestWrongExpressions(t *testing.T) {
	for name, c := range map[string]struct{ expression, want string }{
		"Empty":           {" ", "an expression is missing"},
		"Unfinished":      {"response.code >=", "ends where a value is expected"},
		"Unclosed":        {"(response.code > 1", `ends where ")" is expected`},
		"TwoOfThem":       {"true false", `"false" is not expected after the expression`},
		"OneEquals":       {"response.code = 400", "is nothing that expressions have"},
		"SingleAnd":       {"a & b", "is nothing that expressions have"},
		"Loop":            {"request.headers.exists(h, h == 'x')", `no function "exists"`},
		"All":             {"[1].all(x, x > 0)", `no function "all"`},
		"UnknownFunction": {"now()", `no function "now"`},
		"Conversion":      {"string(1) == '1'", `no function "string"`},
		"ArgumentMissing": {"request.path.startsWith()", "isn't called with 0 arguments"},
		"HasOfNothing":    {"has(request)", "has asks for a field"},
		"Field":           {"request.'x'", "the name of a field is expected"},
		"OpenText":        {"'abc", "is nothing that expressions have"},
		"Escape":          {`'\q'`, "is no escape of texts"},
		"Colon":           {"true ? 1", `ends where ":" is expected`},
		"Reserved":        {"if", `"if" stands where a value is expected`},
		"Nested":          {strings.Repeat("(", 40) + "1" + strings.Repeat(")", 40), "nested deeper than 32 levels"},
		"Huge":            {strings.Repeat("a", 1<<20), "at most"},
		"Comma":           {"[1 2]", `"2" stands where "," is expected`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkExpression(c.expression); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: got %v, want %q in it", c.expression, err, c.want)
			}
		})
	}
}

// FuzzExpression: nothing panics, and what passes passes again with space around it.
func FuzzExpression(f *testing.F) {
	f.Add("has(request.headers.a) && [1, 2u][0] < -3.5e1 ? 'x' : b\"\\x41\".size()")
	f.Fuzz(func(t *testing.T, text string) {
		if checkExpression(text) == nil && len(text) < 1000 {
			if err := checkExpression(" (" + text + "\n) "); err != nil && !strings.Contains(err.Error(), "nested") {
				t.Errorf("%q passes, in parentheses it doesn't: %v", text, err)
			}
		}
	})
}
