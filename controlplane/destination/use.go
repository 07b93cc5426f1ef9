// SPDX-License-Identifier: Apache-2.0

package destination

import "github.com/isthmesh/isthmesh/controlplane/model"

// Use is what is sent to one port of a service, by whoever calls it.
type Use struct {
	Port uint16
	// Requests and Bytes: HTTP requests one by one, or connections as they are.
	Requests, Bytes bool
	// HTTP2 may be spoken to the endpoints; HTTP1 may be, too.
	HTTP2, HTTP1 bool
	// Chosen: the proxy chooses among endpoints.
	Chosen bool
}

// UseOf a port by callers of the service itself: the protocol tells. What routings
// send there comes on top (Use.Requested, Use.Connected).
func UseOf(svc *model.Service, p model.Port) Use {
	out := Use{Port: p.Number, Chosen: svc.Resolution != model.AsCalled && svc.Resolution != model.ByHost}
	switch {
	case p.Protocol.IsHTTP():
		out.Requested(p)
	case p.Protocol == model.Auto && (svc.Kind != model.Headless || len(svc.Addresses) > 0):
		// The pods of a headless service are called as they are: nothing is sniffed there.
		out.Requested(p)
		out.Connected()
	default:
		out.Connected()
	}
	return out
}

// Requested notes that requests are sent to the port.
func (u *Use) Requested(p model.Port) {
	u.Requests = true
	u.HTTP2 = u.HTTP2 || p.Protocol.IsHTTP2() || p.Protocol == model.Auto
	u.HTTP1 = u.HTTP1 || !p.Protocol.IsHTTP2()
}

// Connected notes that connections are sent on to the port.
func (u *Use) Connected() { u.Bytes = true }
