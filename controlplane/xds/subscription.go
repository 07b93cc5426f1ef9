// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// subscription is what one stream wants of one type, and what its client has of
// it: the resources of base that it wants. It is small and holds no map of what
// the client has: base is shared by all streams of the class.
type subscription struct {
	// active once the client has asked for the type.
	active bool
	// all resources are wanted, whatever the names.
	all bool
	// implied: all is wanted because the first request had no names; ends with
	// the first request that has some.
	implied bool
	// wanted by name; nil is none.
	wanted *nameSet

	base envoy.Layers
	// owed are names to be answered whether or not they changed.
	owed []string
	// first response is still to come; it is sent even when it is empty, if the
	// client wants all.
	first bool
	// initial is what a reconnected client said it has; nil after it was compared.
	initial []held
	// accepted is the version that a reconnected state-of-the-world client has.
	accepted string
	// gone are the resources that the client still has though the view doesn't:
	// they are removed after everything else.
	gone []*envoy.Resource

	flight flight
	// alone are resources of a rejected response that are sent one by one, since
	// the client didn't say which of them it rejects.
	alone []string
	// again: the next response repeats what was good in a rejected one.
	again  bool
	report report
	// bad are the resources that the client rejected, and in which version; nil mostly.
	bad map[string]bad
}

// flight is the response that the client has not answered yet.
type flight struct {
	payload *payload
	nonce   string
	// until then the answer is waited for.
	until time.Time
	// retry: it repeats what was good in a rejected response.
	retry bool
	// size of everything that is unanswered.
	size int
}

// report is what Proxies tells of a subscription.
type report struct {
	sent, acked string
	rejected    bool
	nack        *Nack
}

// wants is true when the name is subscribed to.
func (t *subscription) wants(name string) bool { return t.all || t.wanted.has(name) }

// only is the set that what is sent must be in; nil when there is no such limit.
func (t *subscription) only() *nameSet {
	if t.all {
		return nil
	}
	return t.wanted
}

// had are those of some resources that are subscribed to.
func (t *subscription) had(resources []*envoy.Resource) []*envoy.Resource {
	if !t.all && t.wanted == nil {
		return nil
	}
	return t.only().filter(resources)
}

// wantedOf some names are those that are subscribed to; they are copied unless
// it is all of them.
func (t *subscription) wantedOf(names []string) []string {
	for i, name := range names {
		if t.wants(name) {
			continue
		}
		wanted := slices.Clone(names[:i])
		for _, name := range names[i:] {
			if t.wants(name) {
				wanted = append(wanted, name)
			}
		}
		return wanted
	}
	return names
}

// waiting is true while the client's answer is waited for.
func (t *subscription) waiting(now time.Time) bool {
	return t.flight.payload != nil && now.Before(t.flight.until)
}

// behind is true when there may be something to send.
func (t *subscription) behind(target envoy.Layers) bool {
	return t.base != target || len(t.owed) > 0 || t.first || t.initial != nil || len(t.alone) > 0
}

// depart drops resources of gone that are in the view again or are not wanted any more,
// and adds those that just went.
func (t *subscription) depart(target envoy.Layers, removed []*envoy.Resource) {
	if len(t.gone) == 0 && len(removed) == 0 {
		return
	}
	left := merged(t.gone, removed)
	left = slices.DeleteFunc(left, func(r *envoy.Resource) bool {
		return !t.wants(r.Name) || get(target, r.Name) != nil
	})
	t.gone = slices.CompactFunc(left, func(a, b *envoy.Resource) bool { return a.Name == b.Name })
}

// owe answers to some names. The slice is shared and not written to.
func (t *subscription) owe(names []string) {
	if len(t.owed) == 0 {
		t.owed = names[:len(names):len(names)]
		return
	}
	t.owed = append(t.owed, names...)
}

// good leaves out what the client rejected in just this version, and forgets
// rejections of other versions.
func (t *subscription) good(resources []*envoy.Resource) []*envoy.Resource {
	if len(t.bad) == 0 {
		return resources
	}
	var out []*envoy.Resource
	for _, r := range resources {
		switch b, rejected := t.bad[r.Name]; {
		case rejected && b.version == r.Version:
			continue
		case rejected:
			delete(t.bad, r.Name)
		}
		out = append(out, r)
	}
	return out
}
