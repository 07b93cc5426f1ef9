// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"fmt"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/policy/verdict"
)

// judgeConnection by the policies of a filter chain.
func (w *walk) judgeConnection(filters []*listenerv3.Filter) error {
	return w.judged(verdict.TCP(filters, w.facts()))
}

// judgeRequest by the policies of a connection manager.
func (w *walk) judgeRequest(filters []*hcmv3.HttpFilter) error {
	return w.judged(verdict.HTTP(filters, w.facts()))
}

func (w *walk) judged(v verdict.Verdict) error {
	w.result.Asks = append(w.result.Asks, v.Asks...)
	if v.Why != verdict.Undecided {
		w.result.Policy = v.Why
	}
	if v.Allowed {
		return nil
	}
	if v.Status == 0 {
		return fmt.Errorf("closed: %s", v.Why)
	}
	return fmt.Errorf("%d: %s", v.Status, v.Why)
}

// facts of the call that policies look at.
func (w *walk) facts() verdict.Call {
	c := verdict.Call{
		Source: w.call.From, Destination: w.call.To, ServerName: w.call.ServerName,
		Host: w.call.Host, Method: cmp.Or(w.call.Method, "GET"), Path: cmp.Or(w.call.Path, "/"), Headers: map[string][]string{},
		Claims: w.call.Claims, BadToken: w.call.BadToken,
	}
	if w.result.Verified {
		c.Peer = w.call.Peer
	}
	for k, v := range w.call.Headers {
		c.Headers[strings.ToLower(k)] = []string{v}
	}
	return c
}
