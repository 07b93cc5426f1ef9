// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// The most that a regular expression may be: its length, and the instructions
// that RE2 needs for it. Proxies are told the latter (agent/bootstrap,
// re2.max_program_size.error_level).
const (
	MaxPattern = 8192
	MaxProgram = 32768
)

// wide are escapes of characters beyond a byte. Envoy compiles expressions for
// bytes (Latin-1), so RE2 refuses them; characters written out are fine.
var wide = regexp.MustCompile(`\\x\{0*[1-9a-fA-F][0-9a-fA-F]{2,}\}`)

// CheckPattern says why Envoy would refuse a regular expression; nil when it
// takes it. It takes bounded time and memory for any input.
func CheckPattern(pattern string) error {
	if len(pattern) > MaxPattern {
		return fmt.Errorf("the expression has %d bytes; %d are the most", len(pattern), MaxPattern)
	}
	if !utf8.ValidString(pattern) {
		return fmt.Errorf("the expression %q is not UTF-8", pattern)
	}
	e, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return fmt.Errorf("%.100q is no regular expression of RE2 (%.200s)", pattern, err.Error())
	}
	if wide.MatchString(strings.ReplaceAll(pattern, `\\`, "")) {
		return fmt.Errorf("%.100q has an escape beyond \\x{ff}, and proxies compare bytes: write the character itself", pattern)
	}
	if n := instructions(e); n > MaxProgram {
		return fmt.Errorf("the expression needs about %d instructions; %d are the most", n, MaxProgram)
	}
	return nil
}

// instructions that RE2 compiles an expression to, estimated from above:
// classes of characters beyond ASCII become several ranges of bytes.
func instructions(e *syntax.Regexp) int {
	sub := 0
	for _, s := range e.Sub {
		sub = min(sub+instructions(s), 1<<30)
	}
	switch e.Op {
	case syntax.OpLiteral:
		n := 0
		for _, r := range e.Rune {
			if r < utf8.RuneSelf && e.Flags&syntax.FoldCase == 0 {
				n++
			} else {
				n += utf8.UTFMax
			}
		}
		return n
	case syntax.OpCharClass:
		n := 1
		for i := 0; i+1 < len(e.Rune); i += 2 {
			if e.Rune[i+1] < utf8.RuneSelf {
				n++
			} else {
				n += 2 * utf8.UTFMax // it may begin and end in the middle of every byte
			}
		}
		return n
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 2 * utf8.UTFMax
	case syntax.OpRepeat:
		times := e.Max
		if times < 0 {
			times = e.Min + 1
		}
		return min((sub+1)*max(times, 1), 1<<30)
	case syntax.OpAlternate:
		return sub + len(e.Sub)
	default:
		return sub + 2
	}
}
