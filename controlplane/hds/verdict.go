// SPDX-License-Identifier: Apache-2.0

package hds

import (
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// finding is the state of a gateway as one checker's Envoy tells it.
type finding uint8

const (
	// failing: the last checks failed, or none was made yet.
	failing finding = iota
	// hanging: they failed because nothing came back in time.
	hanging
	passing
)

// timing of verdicts.
type timing struct {
	// settle is how long a checker must find the same before it is believed of a
	// gateway that it has not seen pass: until then its Envoy may not have made
	// enough checks, which it doesn't tell.
	settle time.Duration
	// fresh is how old a word for a gateway may be, hold how old one against it: a
	// checker that is replaced leaves time for its successor to settle.
	fresh, hold time.Duration
}

// timingOf checks.
func timingOf(c *model.GatewayChecks) timing {
	interval := time.Duration(c.IntervalMillis) * time.Millisecond
	settle := interval*time.Duration(c.UnhealthyThreshold+1) + 2*time.Second
	return timing{settle: settle, fresh: 5 * time.Second, hold: settle + 15*time.Second}
}

// checker is one stream of a gateway's Envoy, and what it has found.
type checker struct {
	// said is when its last report came.
	said time.Time
	// ended: its stream is closed.
	ended bool
	// asked is when it was last told what to check.
	asked time.Time
	found map[model.RemoteGateway]*observation
}

// observation of one gateway by one checker.
type observation struct {
	finding finding
	// since the checker doesn't find it passing.
	since time.Time
	// passed: it has been seen passing since the checker was told what to check. Its
	// Envoy then says otherwise only when as many checks failed as it takes.
	passed bool
}

// reask notes that the checker is told anew what to check: its Envoy may begin
// from nothing, and then finds everything failing.
func (c *checker) reask(now time.Time) {
	c.asked = now
	for _, o := range c.found {
		o.passed = o.passed && o.finding != passing
	}
}

// underWay is how long a report may be on its way that doesn't know yet what
// the checker was told last.
const underWay = 2 * time.Second

// observe what a report says of a gateway.
func (c *checker) observe(g model.RemoteGateway, f finding, now time.Time) {
	o := c.found[g]
	if o == nil {
		o = &observation{finding: passing}
		c.found[g] = o
	}
	switch {
	case f == passing:
		o.passed = now.Sub(c.asked) > underWay
	case o.finding == passing:
		o.since = now
	}
	o.finding = f
}

// opinion of a checker on a gateway: for it, against it, or neither.
type opinion uint8

const (
	none opinion = iota
	reached
	unreached
)

// opinion at a time. known says that the gateway has passed a check of anybody
// before: one that never has, and doesn't hang, may be of a version that doesn't
// answer checks.
func (c *checker) opinion(g model.RemoteGateway, known bool, t timing, now time.Time) opinion {
	o, age := c.found[g], now.Sub(c.said)
	switch {
	case o == nil:
		return none
	case o.finding == passing && !c.ended && age <= t.fresh:
		return reached
	case o.finding == passing || age > t.hold:
		return none
	case o.passed:
		return unreached
	case now.Sub(o.since) >= t.settle && (known || o.finding == hanging):
		return unreached
	}
	return none
}

// lost is true when somebody says that a gateway doesn't answer, and nobody
// that it does.
func lost(opinions []opinion) bool {
	against := false
	for _, o := range opinions {
		if o == reached {
			return false
		}
		against = against || o == unreached
	}
	return against
}
