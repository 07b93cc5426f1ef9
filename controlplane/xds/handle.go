// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// wildcard subscribes to everything of a type.
const wildcard = "*"

// verdict of a request on the response that it answers.
type verdict uint8

const (
	spontaneous verdict = iota // it answers none
	accepted
	refused
	stale // it answers a response that is not the last
)

// handle takes a request into the session. An error ends the stream.
func (s *session) handle(k kind, r *request, now time.Time) (verdict, error) {
	t := &s.types[k]
	if !t.active {
		t.active, t.first = true, true
		s.resumed = s.resumed || len(r.initial) > 0 || r.version != ""
		if s.sotw {
			return spontaneous, s.openWhole(k, r)
		}
		return spontaneous, s.openDelta(k, r, now)
	}
	v := s.answer(k, r, now)
	if s.sotw {
		// All of a stale request is superseded by the one that answers the last response.
		if v == stale {
			return v, nil
		}
		return v, s.resubscribe(k, r.subscribe)
	}
	return v, s.subscribe(k, r.subscribe, r.unsubscribe)
}

// openDelta takes the first request for a type.
func (s *session) openDelta(k kind, r *request, now time.Time) error {
	t := &s.types[k]
	add, star := split(r.subscribe)
	t.implied = len(r.subscribe) == 0 && k.emptyMeansAll()
	t.all = star || t.implied
	if err := s.want(t, add, nil); err != nil {
		return err
	}
	early := s.early
	if k == endpoints {
		s.early = nil
	}
	initial := r.initial
	if k == endpoints && !s.types[clusters].active {
		// Envoy asks for clusters first, unless some of them wait for endpoints: it
		// then doesn't ask for clusters until it gets those, though it has them.
		initial = nil
	}
	if len(initial) == 0 {
		t.owe(add)
		return nil
	}
	t.initial, t.first = initial, false
	if k == endpoints {
		// Clusters that were updated before this request came wait as well.
		for _, p := range early {
			s.rewarm(p, now)
		}
	}
	return nil
}

// subscribe takes a later delta request.
func (s *session) subscribe(k kind, subscribe, unsubscribe []string) error {
	if len(subscribe) == 0 && len(unsubscribe) == 0 {
		return nil
	}
	t := &s.types[k]
	add, star := split(subscribe)
	remove, unstar := split(unsubscribe)
	had := t.wanted
	if err := s.want(t, add, remove); err != nil {
		return err
	}
	if len(subscribe) > 0 {
		t.implied = false
	}
	switch {
	case star && !t.all:
		// The client has nothing but what it asked for by name.
		t.initial = []held{}
		if had != nil {
			for name := range had.members {
				if r := get(t.base, name); r != nil {
					t.initial = append(t.initial, held{name, r.Version})
				}
			}
		}
		t.all = true
	case unstar:
		t.all = false
	}
	// Every name asked for is answered, even when the client has it.
	due := add
	if t.all {
		// It may drop what it asked for by name, but is to have everything.
		due = slices.Concat(add, remove)
	}
	return s.later(t, due)
}

// later owes names until the client has answered what is under way. Meanwhile
// they must not hold on to the request that they came in, nor pile up.
func (s *session) later(t *subscription, due []string) error {
	if t.flight.payload == nil {
		t.owe(due)
		return nil
	}
	for _, name := range due {
		t.owed = append(t.owed, strings.Clone(name))
	}
	if len(t.owed) <= s.limits.Subscriptions {
		return nil
	}
	slices.Sort(t.owed)
	t.owed = slices.Compact(t.owed)
	if n := len(t.owed); n > s.limits.Subscriptions {
		return status.Errorf(codes.ResourceExhausted, "%d names of one type are asked for before the last response is answered, at most %d may be", n, s.limits.Subscriptions)
	}
	return nil
}

// openWhole takes the first state-of-the-world request for a type.
func (s *session) openWhole(k kind, r *request) error {
	t := &s.types[k]
	add, star := split(r.subscribe)
	t.implied = len(r.subscribe) == 0 && k.emptyMeansAll()
	t.all = star || t.implied
	t.accepted = r.version
	t.owe(add)
	return s.want(t, add, nil)
}

// resubscribe takes a later state-of-the-world request, which names everything
// that the client wants.
func (s *session) resubscribe(k kind, subscribe []string) error {
	t := &s.types[k]
	if t.implied && len(subscribe) == 0 {
		return nil
	}
	add, star := split(subscribe)
	t.implied = false
	had := t.wanted
	t.wanted = nil
	if err := s.want(t, add, nil); err != nil {
		return err
	}
	if t.all != star {
		t.all = star
		t.first = t.first || star
	}
	if t.wanted == had || t.all {
		return nil
	}
	return s.later(t, slices.DeleteFunc(slices.Clone(add), had.has))
}

// want changes the names subscribed to, within bounds.
func (s *session) want(t *subscription, add, remove []string) error {
	wanted := s.names.change(t.wanted, add, remove)
	if n := wanted.size(); n > s.limits.Subscriptions {
		return status.Errorf(codes.ResourceExhausted, "subscription to %d names of one type, at most %d are served", n, s.limits.Subscriptions)
	}
	t.wanted = wanted
	return nil
}

// answer takes the client's answer to a response.
func (s *session) answer(k kind, r *request, now time.Time) verdict {
	t := &s.types[k]
	switch {
	case r.nonce == "":
		return spontaneous
	case r.nonce != t.report.sent:
		return stale
	case t.flight.payload == nil:
		return spontaneous // answered before
	}
	s.unanswered -= t.flight.size
	f := t.flight
	t.flight = flight{}
	t.report.rejected = r.rejected
	if !r.rejected {
		t.report.acked = r.nonce
		return accepted
	}
	names := blame(f.payload, r.reason)
	t.report.nack = &Nack{Nonce: r.nonce, Message: clipReason(r.reason), Resources: names, Time: now}
	switch {
	case s.sotw:
		return refused
	case len(names) == 0:
		t.alone = append(t.alone, resourceNames(f.payload.all())...)
		slices.Sort(t.alone)
		t.alone = slices.Compact(t.alone)
		return refused
	}
	if t.bad == nil {
		t.bad = map[string]bad{}
	}
	var rest []string
	for _, res := range f.payload.all() {
		if _, blamed := slices.BinarySearch(names, res.Name); blamed {
			t.bad[res.Name] = bad{res.Version, t.report.nack.Message}
		} else {
			rest = append(rest, res.Name)
		}
	}
	// A client may have stopped at the bad one: the others are sent again, once.
	if !f.retry && len(rest) > 0 {
		t.owe(rest)
		t.again = true
	}
	return refused
}

// split "*" from names.
func split(subscribe []string) (names []string, star bool) {
	i := slices.Index(subscribe, wildcard)
	if i < 0 {
		return subscribe, false
	}
	return slices.DeleteFunc(slices.Clone(subscribe), func(n string) bool { return n == wildcard }), true
}
