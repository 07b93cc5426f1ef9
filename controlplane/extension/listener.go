// SPDX-License-Identifier: Apache-2.0

package extension

import (
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Proxy is what tells proxies of the same plugins apart.
type Proxy struct {
	Settings *model.Settings
	// Gateway proxies are clients on all their listeners.
	Gateway bool
	// Ports of a gateway's pod: a match names those of its services, listeners
	// have the pod's.
	Ports []model.InboundPort
}

// Listener with the filters of plugins, which are sorted as Choose sorts them;
// the same resource when none is for it.
func Listener(at Proxy, plugins []*model.WasmPlugin, r *envoy.Resource) (*envoy.Resource, error) {
	return envoy.RewriteListener(r, func(l *listenerv3.Listener) (changed bool, err error) {
		for _, c := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
			if c == nil || isTrap(c) {
				continue
			}
			of := at.seeing(plugins, l, c)
			if len(of) == 0 {
				continue
			}
			touched, err := at.chain(c, of, l.GetUdpListenerConfig() != nil)
			if err != nil {
				return false, err
			}
			changed = changed || touched
		}
		return changed, nil
	})
}

// isTrap is true for the chains that only close what went round in circles.
func isTrap(c *listenerv3.FilterChain) bool {
	return c.GetName() == envoy.VirtualInbound+"-blackhole" || c.GetName() == envoy.VirtualOutbound+"-trap"
}

// seeing are the plugins that match a chain's traffic.
func (at Proxy) seeing(plugins []*model.WasmPlugin, l *listenerv3.Listener, c *listenerv3.FilterChain) []*model.WasmPlugin {
	server := !at.Gateway && l.GetTrafficDirection() == corev3.TrafficDirection_INBOUND
	port := l.GetAddress().GetSocketAddress().GetPortValue()
	if l.GetName() == envoy.VirtualInbound || l.GetName() == envoy.VirtualOutbound {
		port = c.GetFilterChainMatch().GetDestinationPort().GetValue()
	}
	ports := []uint16{uint16(port)}
	if at.Gateway {
		for _, p := range at.Ports {
			if uint32(p.Port) == port {
				ports = append(ports, p.ServicePort)
			}
		}
	}
	var out []*model.WasmPlugin
	for _, p := range plugins {
		if len(p.Match) == 0 || slices.ContainsFunc(p.Match, func(m model.PluginMatch) bool { return matches(m, server, ports) }) {
			out = append(out, p)
		}
	}
	return out
}

func matches(m model.PluginMatch, server bool, ports []uint16) bool {
	if m.Mode == model.Client && server || m.Mode == model.Server && !server {
		return false
	}
	return len(m.Ports) == 0 || slices.ContainsFunc(ports, func(p uint16) bool { return slices.Contains(m.Ports, p) })
}

// chain gets the filters of plugins. HTTP over QUIC has no connections of bytes.
func (at Proxy) chain(c *listenerv3.FilterChain, plugins []*model.WasmPlugin, quic bool) (bool, error) {
	changed := false
	if !quic && slices.ContainsFunc(plugins, Closes) {
		c.Filters = []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(at.Settings, envoy.BlackHoleCluster))}
		return true, nil
	}
	for _, f := range c.GetFilters() {
		if f.GetName() != envoy.HTTPFilter {
			continue
		}
		m := &hcmv3.HttpConnectionManager{}
		if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
			return false, fmt.Errorf("read its HTTP connection manager: %w", err)
		}
		n := len(m.GetHttpFilters())
		for _, p := range plugins {
			if !p.Network {
				m.HttpFilters = slices.Insert(m.GetHttpFilters(), place(p.Phase, m.GetHttpFilters(), n, isHTTPAuthN, envoy.Authorizes), &hcmv3.HttpFilter{
					Name: Name(p), ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: discovered(p)},
				})
			}
		}
		if len(m.GetHttpFilters()) > n {
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: envoy.Any(m)}
			changed = true
		}
	}
	if quic {
		return changed, nil
	}
	n := len(c.GetFilters())
	for _, p := range plugins {
		if p.Network {
			c.Filters = slices.Insert(c.GetFilters(), place(p.Phase, c.GetFilters(), n, isNetworkAuthN, envoy.Authorizes), &listenerv3.Filter{
				Name: Name(p), ConfigType: &listenerv3.Filter_ConfigDiscovery{ConfigDiscovery: discovered(p)},
			})
		}
	}
	return changed || len(c.GetFilters()) > n, nil
}

// named is a filter of either kind.
type named interface{ GetName() string }

// place of the next plugin in a list, in which earlier ones stand already:
// before what asks who calls, before what asks whether they may, or after both.
// The list had n filters before there were plugins.
func place[F named](phase model.PluginPhase, list []F, n int, authn, authz func(string) bool) int {
	who := firstOf(list, authn)
	may := firstOf(list, authz)
	after := lastOf(list, func(name string) bool { return authn(name) || authz(name) }) + 1
	if after == 0 {
		after = len(list) - n // nothing asks: after the plugins that stand there
	}
	switch phase {
	case model.PhaseAuthN:
		if who >= 0 {
			return who
		}
		if may >= 0 {
			return may
		}
		return after
	case model.PhaseAuthZ:
		if may >= 0 {
			return may
		}
		if who >= 0 {
			return pastPlugins(list, who+1)
		}
		return after
	}
	return pastPlugins(list, after)
}

// pastPlugins is the first place from i on that no plugin has.
func pastPlugins[F named](list []F, i int) int {
	for i < len(list) && strings.HasPrefix(list[i].GetName(), prefix) {
		i++
	}
	return i
}

func firstOf[F named](list []F, is func(string) bool) int {
	return slices.IndexFunc(list, func(f F) bool { return is(f.GetName()) })
}

func lastOf[F named](list []F, is func(string) bool) int {
	for i := len(list) - 1; i >= 0; i-- {
		if is(list[i].GetName()) {
			return i
		}
	}
	return -1
}

func isHTTPAuthN(name string) bool { return name == "envoy.filters.http.jwt_authn" }

// Of connections only mutual TLS tells who calls, before all filters.
func isNetworkAuthN(string) bool { return false }
