// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// request through a connection manager.
func (w *walk) request(m *hcmv3.HttpConnectionManager) error {
	w.result.Requests = true
	for _, f := range m.GetHttpFilters() {
		var state httpstatev3.Config
		if f.GetTypedConfig().UnmarshalTo(&state) != nil {
			continue
		}
		for _, v := range state.GetOnRequestHeaders() {
			if v.GetObjectKey() == "envoy.network.application_protocols" {
				w.alpn = strings.Split(v.GetFormatString().GetTextFormatSource().GetInlineString(), ",")
			}
		}
	}
	routes := m.GetRouteConfig()
	if name := m.GetRds().GetRouteConfigName(); name != "" {
		var err error
		if routes, err = get[*routev3.RouteConfiguration](w.view, envoy.RouteType, name); err != nil {
			return err
		}
	}
	host := virtualHost(routes, w.call.Host)
	if host == nil {
		return fmt.Errorf("404: routes %s have no host %q", routes.GetName(), w.call.Host)
	}
	w.result.Route = routes.GetName() + " " + host.GetName()
	if host.GetRequireTls() == routev3.VirtualHost_ALL && w.call.Payload != TLS {
		return errors.New("301: the same by https")
	}
	route := Route(host, w.call)
	if route == nil {
		return errNoRoute
	}
	w.result.Request = Answer(route, w.call)
	if err := w.result.Request.refused(); err != nil {
		return err
	}
	w.match = subset(route.GetRoute().GetMetadataMatch())
	if to := w.result.Clusters; len(to) > 0 {
		i := w.call.Pick % len(to)
		// What a share asks of endpoints is added to what the route does.
		maps.Copy(w.match, subset(route.GetRoute().GetWeightedClusters().GetClusters()[i].GetMetadataMatch()))
		return w.to(to[i].Cluster)
	}
	return w.to(route.GetRoute().GetCluster())
}

// virtualHost of a request: the exact domain, else the longest suffix, else all.
func virtualHost(routes *routev3.RouteConfiguration, host string) *routev3.VirtualHost {
	if routes.GetIgnorePortInHostMatching() {
		if h, _, err := net.SplitHostPort(host); err == nil {
			if strings.Contains(h, ":") {
				h = "[" + h + "]"
			}
			host = h
		}
	}
	host = strings.ToLower(host)
	var best *routev3.VirtualHost
	length := -1
	for _, v := range routes.GetVirtualHosts() {
		for _, d := range v.GetDomains() {
			switch {
			case strings.EqualFold(d, host):
				return v
			case strings.HasPrefix(d, "*") && strings.HasSuffix(host, d[1:]) && len(d) > length:
				best, length = v, len(d)
			}
		}
	}
	return best
}

// subset of a cluster's endpoints that metadata asks for.
func subset(m *corev3.Metadata) map[string]string {
	out := map[string]string{}
	for k, v := range m.GetFilterMetadata()["envoy.lb"].GetFields() {
		out[k] = v.GetStringValue()
	}
	return out
}
