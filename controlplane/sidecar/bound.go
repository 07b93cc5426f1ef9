// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
)

// loopback is where listeners are that no address is given for.
const loopback = "127.0.0.1"

// unix begins the address of a Unix socket.
const unix = "unix://"

// BoundName is the listener, and the route configuration, of an egress listener
// that has an address of its own. One that takes captured calls only has another
// name than one that is really bound there: Envoy 1.40 crashes when a listener that
// was not bound becomes one of the same name that is.
func BoundName(e *model.Egress) string {
	if binds(e) && !strings.HasPrefix(e.Bind, unix) {
		return "bound_" + BoundAt(e)
	}
	return BoundAt(e)
}

// BoundAt is the address and port of such a listener, or its Unix socket.
func BoundAt(e *model.Egress) string {
	switch {
	case strings.HasPrefix(e.Bind, unix):
		return e.Bind
	case e.Bind == "":
		return loopback + "_" + envoy.PortRoute(e.Port)
	}
	return e.Bind + "_" + envoy.PortRoute(e.Port)
}

// binds is true when the listener has its address for connections that are not captured.
func binds(e *model.Egress) bool {
	return e.NoCapture || e.AnyPort || strings.HasPrefix(e.Bind, unix)
}

// IsBound is true for egress listeners with an address of their own.
func IsBound(e *model.Egress) bool { return e.Bind != "" || e.NoCapture || e.AnyPort }

// Taken is true when the proxy itself has the port: Envoy refuses two listeners of
// one address.
func Taken(e *model.Egress) bool {
	return !strings.HasPrefix(e.Bind, unix) && slices.Contains(reserved, e.Port)
}

// BoundListener of an egress listener with an address of its own (Istio's
// Sidecar, egress bind and captureMode). What it takes is told apart as on a
// shared port; hosts that it doesn't name are unknown to it.
func BoundListener(s *model.Settings, e *model.Egress, shared SharedPort) (*envoy.Resource, error) {
	name := BoundName(e)
	l := &listenerv3.Listener{
		Name:             name,
		Address:          boundAddress(e),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		FilterChains:     shared.Chains,
	}
	if !binds(e) {
		l.BindToPort = wrapperspb.Bool(false)
	}
	if shared.HTTP {
		l.FilterChains = append(l.FilterChains[:len(l.FilterChains):len(l.FilterChains)], httpChain(s, name, name, shared.filters(), shared.Lookup))
		if len(l.FilterChains) == 1 && shared.Rest == nil {
			l.FilterChains[0].FilterChainMatch = nil
			return envoy.NewResource(name, l)
		}
	}
	inspect(s, l)
	l.DefaultFilterChain = shared.Rest
	if shared.Rest == nil {
		// Nobody's original destination leads anywhere but back here.
		closed := *s
		closed.OutboundRegistryOnly = closed.OutboundRegistryOnly || l.BindToPort == nil && closed.OutboundProxy == ""
		l.DefaultFilterChain = unknown(&closed)
	}
	return envoy.NewResource(name, l)
}

func boundAddress(e *model.Egress) *corev3.Address {
	if path, ok := strings.CutPrefix(e.Bind, unix); ok {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
	}
	if a, err := netip.ParseAddr(e.Bind); err == nil {
		return envoy.Address(a.String(), e.Port)
	}
	return envoy.Address(loopback, e.Port)
}

// BoundRoutes is the route configuration of an egress listener with an address
// of its own.
func BoundRoutes(s *model.Settings, e *model.Egress, hosts [][]byte) (*envoy.Resource, error) {
	closed := *s
	closed.OutboundRegistryOnly = closed.OutboundRegistryOnly || (e.NoCapture || e.AnyPort) && closed.OutboundProxy == "" && !closed.OutboundByName
	return putTogether(&closed, BoundName(e), hosts, false, !e.AnyPort)
}

// AtPort makes virtual hosts those of requests that name a port; first makes
// them those of requests that name none, too.
func AtPort(part []byte, port uint16, first bool) ([]byte, error) {
	hosts := &routev3.RouteConfiguration{}
	if err := proto.Unmarshal(part, hosts); err != nil {
		return nil, fmt.Errorf("read virtual hosts: %w", err)
	}
	for _, v := range hosts.GetVirtualHosts() {
		var domains []string
		for _, d := range v.GetDomains() {
			domains = append(domains, d+":"+envoy.PortRoute(port))
			if first {
				domains = append(domains, d)
			}
		}
		v.Domains = domains
	}
	return encode(hosts)
}

// putTogether a route configuration of virtual hosts that are encoded already.
func putTogether(s *model.Settings, name string, hosts [][]byte, all, ignorePort bool) (*envoy.Resource, error) {
	head, err := encode(&routev3.RouteConfiguration{Name: name})
	if err != nil {
		return nil, err
	}
	end := &routev3.RouteConfiguration{
		ValidateClusters: wrapperspb.Bool(false), IgnorePortInHostMatching: ignorePort,
		// Rules may answer with more than Envoy's 4 KiB.
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(routing.MaxBody),
	}
	if !all {
		end.VirtualHosts = []*routev3.VirtualHost{elsewhere(s)}
	}
	tail, err := encode(end)
	if err != nil {
		return nil, err
	}
	body := head
	for _, h := range hosts {
		body = append(body, h...)
	}
	return envoy.FromBytes(name, envoy.RouteType, append(body, tail...)), nil
}
