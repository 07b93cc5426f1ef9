// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// exchangeTimeout with one nameserver, before the next is asked. Resolvers
// give up after 5 s by default.
const exchangeTimeout = 2 * time.Second

var errNoServer = errors.New("no nameserver answers")

// forwarder asks the pod's nameservers in their order.
type forwarder struct {
	servers []netip.AddrPort
	timeout time.Duration
}

// forward sends a request on over the client's own transport, and takes TCP
// where the answer is too large for UDP. A server that fails or refuses is
// passed over while there is another; its answer stands when there is none.
func (f *forwarder) forward(network string, request *dns.Msg) (*dns.Msg, error) {
	question := request.Copy()
	var last *dns.Msg
	for _, server := range f.servers {
		// The client's id may be guessed by now.
		question.Id = dns.Id()
		answer, err := f.exchange(network, question, server)
		if err == nil && answer.Truncated && network == "udp" {
			if whole, terr := f.exchange("tcp", question, server); terr == nil {
				answer = whole
			}
		}
		if err != nil {
			continue
		}
		answer.Id = request.Id
		switch answer.Rcode {
		case dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented:
			last = answer
			continue
		}
		return answer, nil
	}
	if last != nil {
		return last, nil
	}
	return nil, errNoServer
}

func (f *forwarder) exchange(network string, question *dns.Msg, server netip.AddrPort) (*dns.Msg, error) {
	client := dns.Client{Net: network, Timeout: f.timeout}
	answer, _, err := client.Exchange(question, server.String())
	return answer, err
}
