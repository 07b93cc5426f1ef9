// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// attached is a listener of a gateway that selects the proxy.
type attached struct {
	gateway  *model.Gateway
	listener *model.Listener
	index    int
}

// ref by which routings are bound to it.
func (a attached) ref() model.GatewayRef {
	return model.GatewayRef{Namespace: a.gateway.Namespace, Name: a.gateway.Name, Listener: a.listener.Name}
}

// hosts that it takes, lower case; "*" when it names none.
func (a attached) hosts() []model.ListenerHost {
	if len(a.listener.Hosts) == 0 {
		return []model.ListenerHost{{Host: "*"}}
	}
	out := make([]model.ListenerHost, 0, len(a.listener.Hosts))
	for _, h := range a.listener.Hosts {
		h.Host = strings.ToLower(h.Host)
		out = append(out, h)
	}
	return out
}

// problem on the gateway, at this listener.
func (a attached) problem(field, reason, format string, args ...any) model.Problem {
	if a.gateway.Kind == "Ingress" {
		field = ""
	}
	return a.gateway.Problem(a.field()+field, reason, fmt.Sprintf(format, args...))
}

// field of the gateway that this listener is.
func (a attached) field() string {
	switch {
	case a.gateway.Kind == "Ingress" && a.index > 0:
		// Its listeners are one for plain requests, and one for each certificate.
		return fmt.Sprintf("spec.tls[%s]", strings.TrimPrefix(a.listener.Name, "https-443-ingress-"))
	case a.gateway.Kind == "Ingress":
		return "spec"
	case a.gateway.API:
		return fmt.Sprintf("spec.listeners[%d]", a.index)
	}
	return fmt.Sprintf("spec.servers[%d]", a.index)
}

// holder is how a listener is told who has what it wants.
func (a attached) holder(of attached) string {
	if of.gateway == a.gateway {
		return fmt.Sprintf("listener %q of this gateway, which comes first", of.listener.Name)
	}
	return fmt.Sprintf("gateway %s/%s, which is older", of.gateway.Namespace, of.gateway.Name)
}

// speech is what may be spoken on one port.
type speech uint8

const (
	speaksHTTP speech = iota
	speaksTLS
	speaksTCP
	speaksUDP
)

func (s speech) String() string {
	return [...]string{"plain HTTP", "TLS", "plain TCP", "UDP"}[s]
}

func (a attached) speech() speech {
	switch a.listener.Protocol {
	case model.ListenHTTP:
		return speaksHTTP
	case model.ListenHTTPS, model.ListenTLS:
		return speaksTLS
	case model.ListenTCP:
		if a.listener.TLS != nil {
			return speaksTLS
		}
		return speaksTCP
	}
	return speaksUDP
}

// bind is a port that the proxy binds, and who takes what comes there.
type bind struct {
	// address, or unix:// and the path of a socket; "" is every address.
	address string
	port    uint16
	speech  speech
	of      []attached
	// datagrams: another bind has the UDP port of the same number.
	datagrams bool
}

// name of the Envoy listener.
func (b *bind) name() string {
	address := cmp.Or(b.address, "0.0.0.0")
	if b.speech == speaksUDP {
		return fmt.Sprintf("udp_%s_%d", address, b.port)
	}
	if strings.HasPrefix(address, "unix://") {
		return address
	}
	return fmt.Sprintf("%s_%d", address, b.port)
}

// bind of the listener at a port. One that names no address, or an unspecified one,
// has every address of the proxy.
func (a attached) bind(port uint16) *bind {
	b := &bind{address: a.listener.Bind, port: port, speech: a.speech()}
	if at, err := netip.ParseAddr(b.address); err == nil && at.IsUnspecified() {
		b.address = ""
	}
	return b
}

// reserved are ports on which the proxy and its agent listen themselves.
var reserved = []uint16{15000, 15001, 15004, 15006, 15020, 15021, 15053, 15090}

// binds of the gateways that select the proxy, sorted. Of listeners that don't
// go together on one port the oldest gateway's stay.
func (t *translation) binds() []*bind {
	type key struct {
		address string
		port    uint16
		udp     bool
	}
	byKey := map[key]*bind{}
	var out []*bind
	for _, g := range t.Mesh.Gateways {
		if !t.Proxy.SelectedBy(g) {
			continue
		}
		for i := range g.Listeners {
			a := attached{gateway: g, listener: &g.Listeners[i], index: i}
			if a.listener.Invalid || !t.bindable(a) {
				continue
			}
			for _, port := range t.Proxy.targets(a.listener.Port) {
				wanted := a.bind(port)
				k := key{wanted.address, wanted.port, wanted.speech == speaksUDP}
				b := byKey[k]
				if b == nil {
					b = wanted
					byKey[k], out = b, append(out, b)
				}
				if b.speech != a.speech() {
					t.report(a.problem(".port", "PortConflict",
						"port %d speaks %s, as %s, has it; this listener wants %s and is left out: give it another port",
						port, b.speech, a.holder(b.of[0]), a.speech()))
					continue
				}
				b.of = append(b.of, a)
			}
		}
	}
	for _, b := range out {
		b.unnamed()
	}
	out = slices.DeleteFunc(out, func(b *bind) bool { return len(b.of) == 0 })
	for _, b := range out {
		b.datagrams = b.speech != speaksUDP && byKey[key{b.address, b.port, true}] != nil
	}
	slices.SortFunc(out, func(a, b *bind) int {
		return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.address, b.address), cmp.Compare(a.speech, b.speech))
	})
	return out
}

// bindable says whether the proxy can listen as a listener wants; if not, a
// Problem tells why.
func (t *translation) bindable(a attached) bool {
	l := a.listener
	if l.Bind != "" && !strings.HasPrefix(l.Bind, "unix://") {
		if _, err := netip.ParseAddr(l.Bind); err != nil {
			t.report(a.problem(".bind", "InvalidBind", "%q is neither an IP address nor unix:// with a path; correct it or leave it out", l.Bind))
			return false
		}
	}
	for _, port := range t.Proxy.targets(l.Port) {
		if slices.Contains(reserved, port) {
			t.report(a.problem(".port", "ReservedPort", "the proxy itself listens on port %d; give the listener another port, or its Service another targetPort", port))
			return false
		}
	}
	if l.Port == 0 && !strings.HasPrefix(l.Bind, "unix://") {
		t.report(a.problem(".port", "InvalidPort", "port 0 can't be listened on; give a port from 1 to 65535"))
		return false
	}
	return true
}

// SelectedBy is true when a gateway is for this proxy.
func (p Proxy) SelectedBy(g *model.Gateway) bool {
	return (g.SelectorNamespace == "" || g.SelectorNamespace == p.Namespace) && p.Labels.Contain(g.Selector)
}

// targets are the ports that the proxy binds for a port of its Service: where
// Services that select it send what comes there, or the port itself.
func (p Proxy) targets(port uint16) []uint16 {
	var out []uint16
	for _, in := range p.Ports {
		if in.ServicePort == port {
			out = append(out, in.Port)
		}
	}
	if len(out) == 0 {
		return []uint16{port}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
