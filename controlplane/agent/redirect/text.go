// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"strconv"
	"strings"
)

// String is the ruleset in the language of the nft command, which reads it
// back with nft -f.
func (r Ruleset) String() string {
	family, ip := "ip", "ip"
	if r.IPv6 {
		family, ip = "ip6", "ip6"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", family, Table)
	for _, c := range r.Chains {
		fmt.Fprintf(&b, "\tchain %s {\n", c.Name)
		if c.Hook != nil {
			fmt.Fprintf(&b, "\t\ttype %s hook %s priority %d; policy accept;\n", c.Hook.Type, c.Hook.Point, c.Hook.Priority)
		}
		for _, rule := range c.Rules {
			fmt.Fprintf(&b, "\t\t%s\n", rule.text(ip))
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func (r Rule) text(ip string) string {
	var words []string
	add := func(w ...string) { words = append(words, w...) }

	if r.InInterface != "" {
		add("iifname", strconv.Quote(r.InInterface))
	}
	if r.NotInInterface != "" {
		add("iifname", "!=", strconv.Quote(r.NotInInterface))
	}
	if r.OutInterface != "" {
		add("oifname", strconv.Quote(r.OutInterface))
	}
	if r.Source.IsValid() {
		add(ip, "saddr", r.Source.String())
	}
	if r.Destination.IsValid() {
		add(ip, "daddr", r.Destination.String())
	}
	if r.NotDestination.IsValid() {
		add(ip, "daddr", "!=", r.NotDestination.String())
	}
	if r.Protocol != "" {
		add("meta", "l4proto", string(r.Protocol))
	}
	if r.SourcePort != 0 {
		add(string(r.Protocol), "sport", strconv.Itoa(int(r.SourcePort)))
	}
	if r.DestinationPort != 0 {
		add(string(r.Protocol), "dport", strconv.Itoa(int(r.DestinationPort)))
	}
	if r.NotDestinationPort != 0 {
		add(string(r.Protocol), "dport", "!=", strconv.Itoa(int(r.NotDestinationPort)))
	}
	if r.UID != nil {
		add("meta", "skuid", strconv.FormatUint(uint64(*r.UID), 10))
	}
	if r.GID != nil {
		add("meta", "skgid", strconv.FormatUint(uint64(*r.GID), 10))
	}
	add("counter", r.Verdict.String())
	return strings.Join(words, " ")
}

// String is the verdict in the language of the nft command.
func (v Verdict) String() string {
	switch {
	case v.Redirect != 0:
		return fmt.Sprintf("redirect to :%d", v.Redirect)
	case v.Zone != 0:
		return fmt.Sprintf("ct zone set %d", v.Zone)
	default:
		return "return"
	}
}
