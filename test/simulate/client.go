// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"net/netip"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// client is the address of a connection's client, as the PROXY protocol tells it
// where the listener takes that.
func (w *walk) client(l *listenerv3.Listener) netip.Addr {
	for _, f := range l.GetListenerFilters() {
		if strings.HasSuffix(f.GetName(), "proxy_protocol") && w.call.Proxied.IsValid() {
			return w.call.Proxied
		}
	}
	return w.call.From
}

// forwarded is the address of a request's client: what so many trusted proxies
// have put behind it in X-Forwarded-For; with none of them the connection's, or, where
// the manager doesn't look at that, the last one.
func (w *walk) forwarded(m *hcmv3.HttpConnectionManager) netip.Addr {
	told, _ := w.call.header("x-forwarded-for")
	list := strings.Split(told, ",")
	at := len(list) - int(m.GetXffNumTrustedHops())
	if !m.GetUseRemoteAddress().GetValue() {
		at--
	}
	if at < 0 || at >= len(list) {
		return w.remote
	}
	if a, err := netip.ParseAddr(strings.TrimSpace(list[at])); err == nil {
		return a
	}
	return w.remote
}
