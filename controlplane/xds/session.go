// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"strconv"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// session is the protocol state of one stream: what its client asked for, has,
// and is to be sent next. It does no I/O and is not safe for concurrent use.
//
// Of each type one response is under way at a time; what changes until the
// client has answered it is merged into the next. So a slow proxy gets fewer
// and larger steps, and never costs more memory than one response per type.
type session struct {
	sotw   bool
	names  *nameTable
	limits Limits
	types  [kinds]subscription
	// target is the view to bring the client to, and cache what is shared about
	// it; nil until there is one.
	target [kinds]envoy.Layers
	cache  *cache
	// nonces given out.
	nonces uint64
	// unanswered bytes.
	unanswered int
	// resumed: the client had something from an earlier stream. It should have
	// asked for all types again when it is settled.
	resumed bool
	settled time.Time
	// warming are the clusters that changed in the payload that is being sent;
	// state of the world only, where others are in it too.
	warming *payload
	// early are clusters that a resumed client was sent before it asked for
	// endpoints.
	early []*payload
}

// response is what next wants to be sent.
type response struct {
	frame
	kind    kind
	payload *payload
	size    int
}

// aim sets the view to bring the client to.
func (s *session) aim(v *envoy.View, c *cache) {
	s.cache = c
	for k, url := range typeURLs {
		s.target[k] = envoy.Layers{}
		if v != nil {
			s.target[k] = v.Types[url]
		}
	}
}

// next response to send now, taken as sent; nil when there is none, or when the
// client has to answer first.
func (s *session) next(now time.Time) *response {
	if s.cache == nil {
		return nil
	}
	unsent := false
	for k := range kinds {
		t := &s.types[k]
		if !t.active || !t.behind(s.target[k]) {
			continue
		}
		// The clusters' answer comes when they are warm. Only then may listeners and
		// routes lead to them. Endpoints wait for nobody: clusters warm by them.
		if t.waiting(now) || k.last() && (unsent || s.types[clusters].waiting(now) || s.expects(clusters, now)) {
			unsent = true
			continue
		}
		if p := s.advance(k); p != nil {
			return s.send(k, p, now)
		}
	}
	if unsent {
		return nil
	}
	return s.removals(now)
}

// expects is true while a client that reconnected is likely to ask for a type
// that it hasn't asked for yet.
func (s *session) expects(k kind, now time.Time) bool {
	return s.resumed && !s.types[k].active && now.Before(s.settled)
}

// level is true when all that the client wants of the view has been sent.
func (s *session) level() bool {
	for k := range kinds {
		if t := &s.types[k]; t.active && (t.behind(s.target[k]) || len(t.gone) > 0) {
			return false
		}
	}
	return true
}

func (s *session) send(k kind, p *payload, now time.Time) *response {
	t := &s.types[k]
	s.nonces++
	nonce := strconv.FormatUint(s.nonces, 36)
	s.unanswered += p.size
	t.flight = flight{
		payload: p,
		nonce:   nonce,
		until:   now.Add(s.limits.Answer),
		retry:   t.again,
		size:    t.flight.size + p.size,
	}
	t.again = false
	t.report.sent = nonce
	switch {
	case k != clusters:
	case !s.sotw:
		s.rewarm(p, now)
	case s.warming != nil:
		s.rewarm(s.warming, now)
		s.warming = nil
	}
	return &response{frame: frame{body: p.body, nonce: nonce}, kind: k, payload: p, size: p.size}
}

// rewarm owes endpoints to the clusters that were sent: a cluster that was
// updated waits for its endpoints, even if the client has them already.
func (s *session) rewarm(p *payload, now time.Time) {
	eds := &s.types[endpoints]
	if !eds.active {
		if !s.sotw && s.expects(endpoints, now) {
			s.early = append(s.early, p)
		}
		return
	}
	if eds.all || eds.wanted != nil {
		eds.owe(eds.wantedOf(p.endpointNames()))
	}
}

// removals come after everything else, when listeners and routes that no longer
// lead to what is removed were answered; clusters go before their endpoints. A
// client that reconnects asks for clusters first: it has some time to come to
// listeners and routes. The configuration of a filter goes with the listener that
// has it: while that is drained, or waits for its successor, it goes on with it.
func (s *session) removals(now time.Time) *response {
	if s.expects(listeners, now) || s.expects(routes, now) {
		return nil
	}
	for _, k := range [...]kind{listeners, routes, clusters} {
		if s.types[k].waiting(now) {
			return nil
		}
	}
	s.types[extensions].gone = nil
	for _, k := range [...]kind{clusters, endpoints, secrets, routes} {
		t := &s.types[k]
		if len(t.gone) == 0 || t.waiting(now) {
			continue
		}
		t.depart(s.target[k], nil)
		gone := t.gone
		t.gone = nil
		if p := s.removal(k, gone); p != nil {
			return s.send(k, p, now)
		}
	}
	return nil
}

// removal of resources that the view doesn't have any more; nil when the
// protocol has no way, or no need, to tell.
func (s *session) removal(k kind, gone []*envoy.Resource) *payload {
	if len(gone) == 0 {
		return nil
	}
	var sel selection
	for _, r := range gone {
		// A cluster that stays without its endpoints has none from now on.
		if k == endpoints && get(s.target[clusters], r.Name) != nil {
			if empty := emptyResource(k, r.Name); empty != nil {
				sel.resources = append(sel.resources, empty)
			}
			continue
		}
		sel.removed = append(sel.removed, r.Name)
	}
	switch {
	case !s.sotw:
		return newPayload(k, false, sel)
	case k == clusters:
		return s.everything(k)
	case len(sel.resources) > 0:
		sel.version = s.cache.version(s.target[k])
		return newPayload(k, true, sel)
	}
	return nil
}
