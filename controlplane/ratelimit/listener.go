// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Proxy is what filters depend on beside the policies.
type Proxy struct {
	Settings *model.Settings
	// Gateway: it is a client on all its listeners, and limits what it takes there.
	Gateway bool
	// Inbound are the workload's ports and the services that they belong to.
	Inbound []model.InboundPort
}

// Listener with the filters of policies, which are sorted as Choose sorts them;
// the same resource when none is for it.
func Listener(at Proxy, limits []*model.RateLimit, r *envoy.Resource) (*envoy.Resource, error) {
	return envoy.RewriteListener(r, func(l *listenerv3.Listener) (changed bool, err error) {
		if !at.Gateway && l.GetTrafficDirection() != corev3.TrafficDirection_INBOUND {
			return false, nil
		}
		for _, c := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
			of := at.on(limits, l, c)
			if len(of) == 0 {
				continue
			}
			touched, err := chain(c, of)
			if err != nil {
				return false, err
			}
			changed = changed || touched
		}
		return changed, nil
	})
}

// on are the policies for what a chain takes: those for services are for their ports only.
func (at Proxy) on(limits []*model.RateLimit, l *listenerv3.Listener, c *listenerv3.FilterChain) []*model.RateLimit {
	if at.Gateway {
		return limits
	}
	port := l.GetAddress().GetSocketAddress().GetPortValue()
	if l.GetName() == envoy.VirtualInbound {
		port = c.GetFilterChainMatch().GetDestinationPort().GetValue()
	}
	suffix := ""
	if at.Settings != nil {
		suffix = at.Settings.DomainSuffix
	}
	var out []*model.RateLimit
	for _, p := range limits {
		if !OfService(p) || slices.Contains(portsOf(suffix, p, at.Inbound), uint16(port)) {
			out = append(out, p)
		}
	}
	return out
}

// chain gets the filters of policies.
func chain(c *listenerv3.FilterChain, limits []*model.RateLimit) (bool, error) {
	changed := false
	for _, f := range c.GetFilters() {
		if f.GetName() != envoy.HTTPFilter {
			continue
		}
		m := &hcmv3.HttpConnectionManager{}
		if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
			return false, fmt.Errorf("read its HTTP connection manager: %w", err)
		}
		i := place(m.GetHttpFilters())
		for _, l := range limits {
			m.HttpFilters = slices.Insert(m.GetHttpFilters(), i, &hcmv3.HttpFilter{
				Name: Name(l), ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: discovered()},
			})
			i++
		}
		f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: envoy.Any(m)}
		changed = true
	}
	return changed, nil
}

// place after all that asks who calls and whether they may: what they refuse isn't
// counted, and who calls is known. All that acts on a request comes after it.
func place(filters []*hcmv3.HttpFilter) int {
	for i := len(filters) - 1; i >= 0; i-- {
		if name := filters[i].GetName(); envoy.Authorizes(name) || name == "envoy.filters.http.jwt_authn" {
			return i + 1
		}
	}
	return 0
}
