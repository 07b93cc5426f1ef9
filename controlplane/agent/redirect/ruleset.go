// SPDX-License-Identifier: Apache-2.0

package redirect

import "net/netip"

// Table is the name of the nftables table that belongs to the agent alone.
const Table = "isthmesh"

// Ruleset is one table of one family, whole.
type Ruleset struct {
	IPv6   bool
	Chains []Chain
}

// Chain is a list of rules; a base chain has a hook.
type Chain struct {
	Name  string
	Hook  *Hook
	Rules []Rule
}

// Hook is where in the kernel a base chain is called. The priority is a
// number: names such as "dstnat" are refused on the output hook.
type Hook struct {
	Type     HookType
	Point    HookPoint
	Priority int
}

// HookType is the kind of a base chain.
type HookType string

// HookPoint is the place of a base chain.
type HookPoint string

// The hooks in use.
const (
	NAT    HookType = "nat"
	Filter HookType = "filter"

	Prerouting HookPoint = "prerouting"
	Output     HookPoint = "output"
)

// Rule applies its Verdict to packets that fit all of its conditions; a zero
// condition is none.
type Rule struct {
	Protocol Protocol
	// InInterface and OutInterface are names.
	InInterface, OutInterface string
	// NotInInterface excludes a name.
	NotInInterface              string
	Source, Destination         netip.Prefix
	NotDestination              netip.Prefix
	SourcePort, DestinationPort uint16
	NotDestinationPort          uint16
	// UID and GID of the sending process.
	UID, GID *uint32
	Verdict  Verdict
}

// Protocol is a transport protocol.
type Protocol string

// The protocols that are led anywhere.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Verdict is what happens to a packet; exactly one field is set.
type Verdict struct {
	Return   bool
	Redirect uint16
	// Zone puts the packet's connection into a conntrack zone of its own.
	Zone uint16
}
