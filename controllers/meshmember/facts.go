// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"errors"
	"time"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/remote"
	"github.com/isthmesh/isthmesh/federation/hub"
)

// Facts are what the phases of one reconcile found. They are plain values:
// statusOf makes the status of them and of nothing else. What a phase didn't
// get to stays at its zero value, which says so.
type Facts struct {
	// Federation that selects the member; empty when none does, and then
	// Unselected says why.
	Federation string
	Unselected *Problem
	// TrustDomain and Network in effect.
	TrustDomain, Network string

	// Connect is set once the cluster was tried.
	Connect *Outcome
	// Identity of the cluster, when it answered.
	Identity remote.Identity
	// Leaving is set while the member leaves its federation.
	Leaving *Leaving
	// Left: it did, and what is known of its time there is over.
	Left bool

	// ControlPlane and Gateway, each set once its installation was tried.
	ControlPlane, Gateway *Component
	// Address of the gateway, set once it was looked for.
	Address *Address

	// Trust is set once enrolment was tried.
	Trust *Trust

	// Stream is what the hub knows of the member's; nil when nobody asked.
	Stream *hub.Status
	// Awaited: the stream has been gone for a moment only, as when a control
	// plane or the hub itself restarts. What was known of it still holds.
	Awaited bool
	// HubAddress where the member reaches the hub.
	HubAddress string
}

// Problem is a reason and a message for a condition.
type Problem struct{ Reason, Message string }

// Outcome of something tried: a problem, or none.
type Outcome struct{ Problem *Problem }

// Component is something installed.
type Component struct {
	// Problem that keeps it from being installed or from being up.
	Problem *Problem
	// Waiting says what it waits for while it is on its way up; empty when it is up.
	Waiting string
}

// Address of the member's gateway.
type Address struct {
	// Found are host:port, sorted.
	Found []string
	// Problem when there are none.
	Problem *Problem
}

// Trust of a member.
type Trust struct {
	// Problem that keeps the member from being enrolled.
	Problem *Problem
	// Token that the member was given in this reconcile, if any.
	Token *v1alpha1.MemberTrustStatus
	// Waiting: the member has a token, and hasn't used it yet.
	Waiting bool
}

// Leaving is how far a member's cleaning-up came.
type Leaving struct {
	// Blocked is why it doesn't go on; nil while it does.
	Blocked *Problem
	// Until is when the hub stops waiting.
	Until time.Time
	// Going are objects that are deleted and not gone yet.
	Going []string
}

// problemOf makes a Problem of an error; its reason is the error's own or the
// one given.
func problemOf(err error, reason string) *Problem {
	var known *remote.Error
	if errors.As(err, &known) {
		return &Problem{known.Reason, known.Message}
	}
	return &Problem{reason, err.Error()}
}
