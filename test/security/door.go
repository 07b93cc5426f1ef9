// SPDX-License-Identifier: Apache-2.0

package security

import (
	"net/netip"
	"slices"
	"strings"
)

// Handshake is what a gateway's port makes of TLS (Istio's Gateway, tls.mode).
type Handshake uint8

// The handshakes.
const (
	// Plain takes no TLS.
	Plain Handshake = iota
	// Simple shows a certificate and asks for none.
	Simple
	// Optional asks for one and refuses those that don't verify.
	Optional
	// Mutual refuses who shows none.
	Mutual
	// Lenient asks for one and takes every client (Gateway API, AllowInsecureFallback).
	Lenient
	// Passed goes on to the server as it came.
	Passed
)

// Door is a port of a gateway.
type Door struct {
	Handshake
	// Trusts names who signs the certificates that verify.
	Trusts string
	// Names are the servers that can be asked for, the usual one first; any when
	// there are none.
	Names []string
}

// ServerName that a call asks for in TLS; empty without TLS.
func (w *World) ServerName(c Call) string {
	switch d, ok := w.Doors[c.Port]; {
	case ok && d.Handshake == Plain, !ok && w.Callers[c.Caller].Identity == "":
		return ""
	case c.SNI != "":
		return c.SNI
	case len(d.Names) > 0:
		return d.Names[0]
	}
	return "outbound_.80_._.server.shop.svc.cluster.local"
}

// meet is the caller as the proxy knows it, once TLS is done; false when the
// connection is not taken. At a gateway a certificate counts for as much as the
// port trusts who signed it.
func (w *World) meet(c Call) (Caller, bool) {
	caller := w.Callers[c.Caller]
	d, ok := w.Doors[c.Port]
	if !ok {
		return caller, caller.Identity != "" || !strings.HasSuffix(c.Port, "-strict")
	}
	if len(d.Names) > 0 && !slices.Contains(d.Names, w.ServerName(c)) {
		return caller, false
	}
	shown, verified := caller.SignedBy() != "", caller.SignedBy() == d.Trusts
	if d.Handshake == Plain || d.Handshake == Simple || d.Handshake == Passed || !verified {
		caller.Identity = ""
	}
	switch d.Handshake {
	case Mutual:
		return caller, shown && verified
	case Optional:
		return caller, !shown || verified
	default:
		return caller, true
	}
}

// Known is who the proxy knows a caller to be, once TLS is done; empty for nobody.
func (w *World) Known(c Call) string {
	caller, _ := w.meet(c)
	return caller.Identity
}

// remote is where a call came from at first: as the PROXY protocol says where
// the gateway speaks it, or the last but so many of X-Forwarded-For as there are
// trusted proxies; else where the connection comes from.
func (e *evaluation) remote() netip.Addr {
	address := e.caller.Address
	if e.Doors == nil {
		return address
	}
	if from, err := netip.ParseAddr(e.call.From); err == nil && e.topology.ProxyProtocol != nil {
		address = from
	}
	n := e.topology.NumTrustedProxies
	if n == 0 || e.call.TCP() {
		return address
	}
	var told []string
	for _, h := range strings.Split(e.call.Headers, "&") {
		if name, value, ok := strings.Cut(h, "="); ok && strings.EqualFold(name, "X-Forwarded-For") {
			told = append(told, strings.Split(value, ",")...)
		}
	}
	if len(told) < n {
		return address
	}
	if a, err := netip.ParseAddr(strings.TrimSpace(told[len(told)-n])); err == nil {
		return a
	}
	return address
}
