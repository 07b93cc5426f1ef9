// SPDX-License-Identifier: Apache-2.0

package hub

import federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"

// StreamID tells streams apart. Whoever feeds State never uses one twice.
type StreamID uint64

// Event goes into State.Step.
type Event interface{ event() }

// MembersSet is the complete list of the federation's members.
type MembersSet struct{ Members []Member }

// Joined is a new stream of a member, as its certificate names it.
type Joined struct {
	Stream StreamID
	Member string
	// Serial, in hex, of the intermediate in its certificate.
	Serial string
	Hello  *federationv1.Hello
}

// Exported is a change of what the member exports.
type Exported struct {
	Stream StreamID
	Update *federationv1.ExportUpdate
}

// Acknowledged is the answer to an ImportUpdate.
type Acknowledged struct {
	Stream StreamID
	Ack    *federationv1.Ack
}

// Left is the end of a stream.
type Left struct {
	Stream StreamID
	// Reason as Status.LastError shows it.
	Reason string
}

func (MembersSet) event()   {}
func (Joined) event()       {}
func (Exported) event()     {}
func (Acknowledged) event() {}
func (Left) event()         {}

// Output comes out of State.Step.
type Output interface{ output() }

// Wake says that State.Next has, or may have, something for the stream.
type Wake struct{ Stream StreamID }

// Close ends a stream. State has forgotten it already.
type Close struct {
	Stream StreamID
	Reason CloseReason
}

// CloseReason says why the hub ends a stream.
type CloseReason string

// The reasons.
const (
	// CloseUnknown: the certificate is of no member, or of one that is gone.
	CloseUnknown CloseReason = "the member is not, or no longer, part of the federation"
	// CloseCertificate: the intermediate was replaced or withdrawn.
	CloseCertificate CloseReason = "the intermediate of this certificate no longer speaks for the member"
	// CloseProtocol: a message that makes no sense.
	CloseProtocol CloseReason = "an acknowledgement of what was never sent"
	// CloseInstances: the member has too many streams.
	CloseInstances CloseReason = "too many streams of one member"
)

// Changed says that the Status of a member, or with an empty name of the
// federation, is another one now.
type Changed struct{ Member string }

func (Wake) output()    {}
func (Close) output()   {}
func (Changed) output() {}
