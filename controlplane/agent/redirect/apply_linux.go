// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Apply puts the rulesets into the network namespace of the process. Each
// replaces the agent's own table of that family in one transaction, so it can
// be repeated, and traffic never sees half of the rules. It needs NET_ADMIN.
func Apply(rulesets []Ruleset) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	for _, r := range rulesets {
		stage(conn, r)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("apply table %q (the container needs the capability NET_ADMIN, the node's kernel nf_tables with nat): %w", Table, err)
	}
	return nil
}

// Remove takes the agent's tables away again.
func Remove(rulesets []Ruleset) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	for _, r := range rulesets {
		// Adding first makes deleting succeed where there is none.
		conn.DelTable(conn.AddTable(table(r)))
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("remove table %q: %w", Table, err)
	}
	return nil
}

func table(r Ruleset) *nftables.Table {
	family := nftables.TableFamilyIPv4
	if r.IPv6 {
		family = nftables.TableFamilyIPv6
	}
	return &nftables.Table{Name: Table, Family: family}
}

func stage(conn *nftables.Conn, r Ruleset) {
	conn.DelTable(conn.AddTable(table(r)))
	t := conn.AddTable(table(r))
	for _, c := range r.Chains {
		chain := &nftables.Chain{Name: c.Name, Table: t}
		if c.Hook != nil {
			accept := nftables.ChainPolicyAccept
			chain.Type = nftables.ChainType(c.Hook.Type)
			chain.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(c.Hook.Priority))
			chain.Policy = &accept
			switch c.Hook.Point {
			case Prerouting:
				chain.Hooknum = nftables.ChainHookPrerouting
			case Output:
				chain.Hooknum = nftables.ChainHookOutput
			}
		}
		conn.AddChain(chain)
		for _, rule := range c.Rules {
			conn.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: rule.exprs(r.IPv6)})
		}
	}
}

func (r Rule) exprs(ipv6 bool) []expr.Any {
	var out []expr.Any
	meta := func(key expr.MetaKey, op expr.CmpOp, data []byte) {
		out = append(out, &expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data})
	}
	port := func(offset uint32, op expr.CmpOp, p uint16) {
		out = append(out,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
			&expr.Cmp{Op: op, Register: 1, Data: binary.BigEndian.AppendUint16(nil, p)})
	}
	address := func(offset4, offset6 uint32, op expr.CmpOp, p netip.Prefix) {
		if !p.IsValid() {
			return
		}
		offset := offset4
		if ipv6 {
			offset = offset6
		}
		out = append(out, matchPrefix(offset, op, p)...)
	}

	if r.InInterface != "" {
		meta(expr.MetaKeyIIFNAME, expr.CmpOpEq, interfaceName(r.InInterface))
	}
	if r.NotInInterface != "" {
		meta(expr.MetaKeyIIFNAME, expr.CmpOpNeq, interfaceName(r.NotInInterface))
	}
	if r.OutInterface != "" {
		meta(expr.MetaKeyOIFNAME, expr.CmpOpEq, interfaceName(r.OutInterface))
	}
	address(12, 8, expr.CmpOpEq, r.Source)
	address(16, 24, expr.CmpOpEq, r.Destination)
	address(16, 24, expr.CmpOpNeq, r.NotDestination)
	if r.Protocol != "" {
		meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{r.Protocol.number()})
	}
	if r.SourcePort != 0 {
		port(0, expr.CmpOpEq, r.SourcePort)
	}
	if r.DestinationPort != 0 {
		port(2, expr.CmpOpEq, r.DestinationPort)
	}
	if r.NotDestinationPort != 0 {
		port(2, expr.CmpOpNeq, r.NotDestinationPort)
	}
	if r.UID != nil {
		meta(expr.MetaKeySKUID, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(*r.UID))
	}
	if r.GID != nil {
		meta(expr.MetaKeySKGID, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(*r.GID))
	}
	return append(append(out, &expr.Counter{}), r.Verdict.exprs()...)
}

func (v Verdict) exprs() []expr.Any {
	switch {
	case v.Redirect != 0:
		return []expr.Any{
			&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, v.Redirect)},
			&expr.Redir{RegisterProtoMin: 1},
		}
	case v.Zone != 0:
		return []expr.Any{
			&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint16(v.Zone)},
			&expr.Ct{Key: expr.CtKeyZONE, Register: 1, SourceRegister: true},
		}
	default:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}
	}
}

// matchPrefix compares the address at an offset of the network header.
func matchPrefix(offset uint32, op expr.CmpOp, p netip.Prefix) []expr.Any {
	address := p.Addr().AsSlice()
	size := uint32(len(address))
	out := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}}
	if !p.IsSingleIP() {
		mask := make([]byte, size)
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		out = append(out, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)})
	}
	return append(out, &expr.Cmp{Op: op, Register: 1, Data: address})
}

// interfaceName is a name as the kernel compares it, whole.
func interfaceName(name string) []byte {
	out := make([]byte, unix.IFNAMSIZ)
	copy(out, name)
	return out
}

func (p Protocol) number() byte {
	if p == UDP {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}
