// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of an expression: proxies ask it of every request.
const (
	maxExpression = 16 << 10
	maxNesting    = 32
)

// functions that Envoy's expressions have, and how many arguments each may take;
// methods are called on a value. Envoy refuses a whole listener for any other.
var (
	functions = map[string][]int{
		"has": {1}, "size": {1}, "matches": {2},
		"int": {1}, "uint": {1}, "double": {1}, "timestamp": {1}, "duration": {1}, "type": {1}, "dyn": {1},
	}
	methods = map[string][]int{
		"contains": {1}, "startsWith": {1}, "endsWith": {1}, "matches": {1}, "size": {0},
		"getFullYear": {0, 1}, "getMonth": {0, 1}, "getDate": {0, 1}, "getDayOfMonth": {0, 1}, "getDayOfWeek": {0, 1}, "getDayOfYear": {0, 1},
		"getHours": {0, 1}, "getMinutes": {0, 1}, "getSeconds": {0, 1}, "getMilliseconds": {0, 1},
	}
)

// reserved words are no names (the language's own specification).
var reserved = []string{
	"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
}

// checkExpression says why a text is no expression of the Common Expression Language
// that Envoy can evaluate. Loops (all, exists, map, filter) are none that it can.
func checkExpression(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("an expression is missing")
	case len(text) > maxExpression:
		return fmt.Errorf("the expression has %d bytes, at most %d are possible", len(text), maxExpression)
	case !utf8.ValidString(text):
		return errors.New("the expression is no UTF-8")
	}
	tokens, err := scan(text)
	if err != nil {
		return err
	}
	p := &parser{tokens: tokens}
	if err := p.expression(); err != nil {
		return err
	}
	if t := p.next(); t.kind != end {
		return fmt.Errorf("%.40q is not expected after the expression", t.text)
	}
	return nil
}

// parser of the language's grammar, which builds nothing.
type parser struct {
	tokens []token
	at     int
	depth  int
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

// take a sign if it comes next.
func (p *parser) take(signs ...string) bool {
	if t := p.peek(); (t.kind == sign || t.kind == word) && slices.Contains(signs, t.text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) need(s string) error {
	if p.take(s) {
		return nil
	}
	if t := p.peek(); t.kind != end {
		return fmt.Errorf("%.40q stands where %q is expected", t.text, s)
	}
	return fmt.Errorf("the expression ends where %q is expected", s)
}

// expression: a condition, maybe with ? and :.
func (p *parser) expression() error {
	if p.depth++; p.depth > maxNesting {
		return fmt.Errorf("the expression is nested deeper than %d levels", maxNesting)
	}
	defer func() { p.depth-- }()
	if err := p.operation(0); err != nil || !p.take("?") {
		return err
	}
	if err := p.operation(0); err != nil {
		return err
	}
	if err := p.need(":"); err != nil {
		return err
	}
	return p.expression()
}

// operators by how they bind, the loosest first.
var operators = [][]string{{"||"}, {"&&"}, {"==", "!=", "<", "<=", ">", ">=", "in"}, {"+", "-"}, {"*", "/", "%"}}

func (p *parser) operation(level int) error {
	if level == len(operators) {
		return p.unary()
	}
	for {
		if err := p.operation(level + 1); err != nil || !p.take(operators[level]...) {
			return err
		}
	}
}

func (p *parser) unary() error {
	for p.take("!") || p.take("-") {
		continue
	}
	if err := p.primary(); err != nil {
		return err
	}
	for {
		switch {
		case p.take("."):
			name := p.next()
			if name.kind != word {
				return fmt.Errorf("%.40q stands where the name of a field is expected", name.text)
			}
			if p.take("(") {
				if err := p.call(name.text, methods); err != nil {
					return err
				}
			}
		case p.take("["):
			if err := p.expression(); err != nil {
				return err
			}
			if err := p.need("]"); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// call of a function; its parenthesis is open.
func (p *parser) call(name string, among map[string][]int) error {
	counts, known := among[name]
	if !known {
		return fmt.Errorf("proxies have no function %.40q, or can't run it", name)
	}
	n, err := p.list(")")
	if err != nil {
		return err
	}
	if !slices.Contains(counts, n) {
		return fmt.Errorf("function %s isn't called with %d arguments", name, n)
	}
	if name == "has" && (p.tokens[p.at-2].kind != word || p.tokens[p.at-3].text != ".") {
		return errors.New("has asks for a field of a value; write such as has(request.headers.host)")
	}
	return nil
}

// list of expressions up to a closing sign, and how many they are.
func (p *parser) list(closing string) (int, error) {
	n := 0
	for !p.take(closing) {
		if n > 0 {
			if err := p.need(","); err != nil {
				return n, err
			}
			if closing == "]" && p.take(closing) {
				return n, nil
			}
		}
		if err := p.expression(); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (p *parser) primary() error {
	switch t := p.next(); {
	case t.kind == end:
		return errors.New("the expression ends where a value is expected")
	case t.kind == literal:
		return nil
	case t.text == "(":
		if err := p.expression(); err != nil {
			return err
		}
		return p.need(")")
	case t.text == "[":
		_, err := p.list("]")
		return err
	case t.kind == word && t.text != "in" && !slices.Contains(reserved, t.text):
		if p.take("(") {
			return p.call(t.text, functions)
		}
		return nil
	default:
		return fmt.Errorf("%.40q stands where a value is expected", t.text)
	}
}
