// SPDX-License-Identifier: Apache-2.0

package snapshot

import "slices"

// step of a search: something stands in for an object.
type step struct {
	of object
	standIn
}

// search finds out which objects a proxy refuses, by what it accepts without
// them. It shows the proxy a prefix of its steps, the likeliest culprits first: one
// step, then two, four, and so on until the proxy accepts. Halving leads to the
// shortest prefix that it accepts, whose last step is a culprit for sure. Then the
// others are given back, and what is still refused is searched again. Prefixes that
// are refused cost nothing: the proxy stays as it is.
type search struct {
	steps []step
	// lo is the longest prefix that was refused, or -1; hi the shortest that was
	// accepted, or -1; at is the one that is shown.
	lo, hi, at int
	// why the search began, by object.
	why map[object]reproach
}

// verdict of a search.
type verdict uint8

const (
	// goingOn: another prefix is to be shown.
	goingOn verdict = iota
	// found the last step of the prefix that is shown.
	found
	// innocent: nobody else is to blame.
	innocent
	// hopeless: it is refused without any of them, too.
	hopeless
	// muddled: it refuses what it accepted; something else has changed.
	muddled
)

// newSearch for those to blame for what is refused now.
func newSearch(steps []step, why map[object]reproach) *search {
	return &search{steps: steps, hi: -1, at: 1, why: why}
}

// shown are the steps that hold now.
func (s *search) shown() []step {
	if s == nil {
		return nil
	}
	return s.steps[:s.at]
}

// answered is what follows from the proxy's answer to the prefix that it was shown.
func (s *search) answered(accepted bool) (*search, verdict) {
	next := *s
	switch {
	case accepted:
		next.hi = s.at
	case s.hi >= 0 && s.at >= s.hi:
		return nil, muddled
	default:
		next.lo = s.at
	}
	switch {
	case next.hi < 0 && s.at == len(s.steps):
		return nil, hopeless
	case next.hi < 0:
		next.at = min(max(1, 2*s.at), len(s.steps))
	case next.hi-next.lo > 1:
		next.at = (next.lo + next.hi) / 2
	case next.hi == 0:
		return nil, innocent
	case s.at != next.hi:
		// Seen once more: others may have changed since.
		next.at = next.hi
	default:
		return next.rest(), found
	}
	return &next, goingOn
}

// rest is the search for others beside the one that was found; nil when there
// are none. It begins with giving them all back.
func (s *search) rest() *search {
	of := s.steps[s.hi-1].of
	steps := slices.DeleteFunc(slices.Clone(s.steps[:s.hi-1]), func(t step) bool { return t.of == of })
	if len(steps) == 0 {
		return nil
	}
	return &search{steps: steps, lo: -1, hi: len(steps), why: s.why}
}

// has an object among its steps.
func (s *search) has(o object) bool {
	return s != nil && slices.ContainsFunc(s.steps, func(t step) bool { return t.of == o })
}

// without objects that are others now, or gone: nil when nobody else is suspected.
// It doesn't wait for the proxy to refuse anew what is left, so that it comes to
// its end also where objects change all the time; whether the proxy still does, it
// finds out last.
func (s *search) without(other map[object]bool) *search {
	if s == nil {
		return nil
	}
	is := func(t step) bool { return other[t.of] }
	first := slices.IndexFunc(s.steps, is)
	if first < 0 {
		return s
	}
	next := *s
	next.steps = slices.DeleteFunc(slices.Clone(s.steps), is)
	switch {
	case len(next.steps) == 0:
		return nil
	case first < max(s.at, s.hi):
		next.lo, next.hi, next.at = -1, -1, 1
	case s.hi < 0:
		next.lo = -1 // who is gone may have been to blame
	}
	return &next
}
