// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// transport is what listeners of one port must share: those of TLS are told
// apart by server name, those of HTTP by host, others not at all.
func transport(p gateway.ProtocolType) string {
	switch p {
	case gateway.HTTPSProtocolType, gateway.TLSProtocolType:
		return "TLS"
	}
	return string(p)
}

// clash says how two listeners can't be told apart; the zero value is that they can.
func clash(a, b *listener) fault {
	udp := gateway.UDPProtocolType
	if a.spec.Port != b.spec.Port || (a.spec.Protocol == udp) != (b.spec.Protocol == udp) {
		return fault{}
	}
	if transport(a.spec.Protocol) != transport(b.spec.Protocol) {
		return faultf(gateway.ListenerReasonProtocolConflict, "Another listener has port %d with protocol %s: only listeners of one protocol share a port.",
			a.spec.Port, b.spec.Protocol)
	}
	if a.spec.Protocol == gateway.TCPProtocolType || a.spec.Protocol == udp {
		return faultf(gateway.ListenerReasonProtocolConflict, "Another listener has port %d with protocol %s: choose another port.", a.spec.Port, b.spec.Protocol)
	}
	if strings.EqualFold(string(deref(a.spec.Hostname, "")), string(deref(b.spec.Hostname, ""))) {
		return faultf(gateway.ListenerReasonHostnameConflict, "Another listener has port %d with the same hostname: choose another hostname or port.", a.spec.Port)
	}
	return fault{}
}

// settle finds the listeners that clash. Tiers are the listeners of one object
// each, the Gateway's first and then its ListenerSets', the oldest first: what
// is in an earlier tier wins, and within one tier nobody does.
func settle(tiers [][]*listener) {
	var winners []*listener
	for _, tier := range tiers {
		var rest []*listener
		for _, l := range tier {
			if !l.accept.none() {
				continue
			}
			for _, w := range winners {
				if f := clash(l, w); !f.none() {
					l.clash = f
					break
				}
			}
			if l.clash.none() {
				rest = append(rest, l)
			}
		}
		for i, a := range rest {
			for j, b := range rest {
				if i != j {
					a.clash.first(clash(a, b))
				}
			}
		}
		for _, l := range rest {
			if l.clash.none() {
				winners = append(winners, l)
			}
		}
	}
}
