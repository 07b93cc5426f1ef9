// SPDX-License-Identifier: Apache-2.0

package tasks_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tolerance of a share.
const tolerance = 0.03

type shareError struct{ string }

func (e shareError) Error() string { return e.string }

func errIsShare(err error) bool { return errors.As(err, new(shareError)) }

// judge answers. Wants:
//
//	200, 200|503         one of these statuses, each time; closed: no answer at all
//	TEXT, !TEXT          the body has it each time, or never
//	share:TEXT=20%       of the answers have it
//	some:TEXT            one answer at least has it
//	least:503=4          so many answers at least have this status; most: at most
//	took:<2s, took:>2s   each answer came in that time, or later
//	shown:NAME           of the server's certificate
//	location:URL         of a redirection
//	reply:NAME=VALUE     a header of the answer
func judge(answers []answer, wants []string) error {
	for _, want := range wants {
		if err := judgeOne(answers, want); err != nil {
			return fmt.Errorf("want %s: %w", want, err)
		}
	}
	return nil
}

func judgeOne(answers []answer, want string) error {
	kind, arg, _ := strings.Cut(want, ":")
	switch kind {
	case "share":
		return share(answers, arg)
	case "some":
		if !slices.ContainsFunc(answers, func(a answer) bool { return strings.Contains(a.body, arg) }) {
			return fmt.Errorf("none of %d answers has it", len(answers))
		}
		return nil
	case "least", "most":
		return number(answers, kind, arg)
	}
	for _, a := range answers {
		if !a.is(kind, arg, want) {
			return fmt.Errorf("%d %s after %v, location %q, certificate of %q, header %v\n%s", a.status, failure(a.err), a.took, a.location, a.shown, a.header, a.body)
		}
	}
	return nil
}

func (a *answer) is(kind, arg, want string) bool {
	switch kind {
	case "closed":
		return a.err != nil
	case "took":
		d, err := time.ParseDuration(arg[1:])
		return err == nil && (arg[0] == '<') == (a.took < d)
	case "shown":
		return slices.Contains(a.shown, arg)
	case "location":
		return a.location == arg
	case "reply":
		name, value, _ := strings.Cut(arg, "=")
		return slices.Contains(a.header.Values(name), value)
	}
	if _, err := strconv.Atoi(want[:1]); err == nil {
		return a.err == nil && slices.Contains(strings.Split(want, "|"), strconv.Itoa(a.status))
	}
	if not, ok := strings.CutPrefix(want, "!"); ok {
		return a.err == nil && !strings.Contains(a.body, not)
	}
	return a.err == nil && strings.Contains(a.body, want)
}

func share(answers []answer, arg string) error {
	at := strings.LastIndex(arg, "=")
	percent, err := strconv.ParseFloat(strings.TrimSuffix(arg[at+1:], "%"), 64)
	if err != nil {
		return err
	}
	n := 0
	for _, a := range answers {
		if strings.Contains(a.body, arg[:at]) {
			n++
		}
	}
	got := float64(n) / float64(len(answers))
	// None and all are no matter of chance.
	if math.Abs(got-percent/100) > tolerance || (percent == 0 || percent == 100) && got != percent/100 {
		return shareError{fmt.Sprintf("%d of %d answers are %.1f%%", n, len(answers), 100*got)}
	}
	return nil
}

func number(answers []answer, kind, arg string) error {
	status, count, _ := strings.Cut(arg, "=")
	want, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	n := 0
	for _, a := range answers {
		if strconv.Itoa(a.status) == status {
			n++
		}
	}
	if kind == "least" && n < want || kind == "most" && n > want {
		return fmt.Errorf("%d of %d answers", n, len(answers))
	}
	return nil
}

// failure of a call, in words.
func failure(err error) string {
	if err == nil {
		return "without error"
	}
	return err.Error()
}
