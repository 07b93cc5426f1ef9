// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"regexp"
	"strings"
)

// kind of a token.
type kind uint8

const (
	end kind = iota
	word
	literal
	sign
)

// token of an expression.
type token struct {
	kind kind
	text string
}

// What tokens begin with. Texts in three quotes have line breaks, and are not taken.
var (
	isSpace  = regexp.MustCompile(`^([ \t\r\n\f]+|//[^\n]*)`)
	isText   = regexp.MustCompile(`^(?:[bB]?[rR]|[rR][bB])(?:"[^"\n]*"|'[^'\n]*')|^[bB]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')`)
	isEscape = regexp.MustCompile(`^\\(?:[abfnrtv\\'"?` + "`" + `]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})`)
	isNumber = regexp.MustCompile(`^(?:0[xX][0-9a-fA-F]{1,16}[uU]?|[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]{1,3})?|[0-9]+[eE][+-]?[0-9]{1,3}|[0-9]{1,18}[uU]?)`)
	isWord   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)
	isSign   = regexp.MustCompile(`^(?:\|\||&&|==|!=|<=|>=|[<>+\-*/%!?:.,()\[\]])`)
)

// scan cuts an expression into tokens; the last one is its end.
func scan(text string) ([]token, error) {
	var out []token
	for text != "" {
		n := 0
		switch {
		case isSpace.MatchString(text):
			text = text[len(isSpace.FindString(text)):]
			continue
		case isText.MatchString(text):
			n = len(isText.FindString(text))
			if err := checkText(text[:n]); err != nil {
				return nil, err
			}
			out = append(out, token{literal, text[:n]})
		case isNumber.MatchString(text):
			n = len(isNumber.FindString(text))
			out = append(out, token{literal, text[:n]})
		case isWord.MatchString(text):
			n = len(isWord.FindString(text))
			of := token{word, text[:n]}
			if of.text == "true" || of.text == "false" || of.text == "null" {
				of.kind = literal
			}
			out = append(out, of)
		case isSign.MatchString(text):
			n = len(isSign.FindString(text))
			out = append(out, token{sign, text[:n]})
		default:
			return nil, fmt.Errorf("%.20q is nothing that expressions have", text)
		}
		text = text[n:]
	}
	return append(out, token{kind: end}), nil
}

// checkText finds escapes that there are none of.
func checkText(text string) error {
	prefix, _, _ := strings.Cut(text, text[len(text)-1:])
	if strings.ContainsAny(prefix, "rR") {
		return nil
	}
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 {
			return nil
		}
		n := len(isEscape.FindString(text[i:]))
		if n == 0 {
			return fmt.Errorf("%.10q is no escape of texts", text[i:])
		}
		text = text[i+n:]
	}
}
