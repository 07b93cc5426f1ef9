// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Patch is one that is read and may be applied.
type Patch struct {
	*model.Patch
	match match
	// value is the message to patch with; nil for REMOVE.
	value proto.Message
}

// match is EnvoyFilter.EnvoyConfigObjectMatch as JSON has it. Empty fields match anything.
type match struct {
	Proxy              *proxyMatch
	Listener           *listenerMatch
	RouteConfiguration *routesMatch
	Cluster            *clusterMatch
}

type proxyMatch struct {
	ProxyVersion string
	Metadata     map[string]string
}

type listenerMatch struct {
	PortNumber     uint32
	Name           string
	ListenerFilter string
	FilterChain    *chainMatch
}

type chainMatch struct {
	Name, SNI, TransportProtocol, ApplicationProtocols string
	DestinationPort                                    uint32
	Filter                                             *filterMatch
}

type filterMatch struct {
	Name      string
	SubFilter *struct{ Name string }
}

type routesMatch struct {
	PortNumber        uint32
	PortName, Gateway string
	Name              string
	VHost             *hostMatch
}

type hostMatch struct {
	Name, DomainName string
	Route            *struct{ Name, Action string }
}

type clusterMatch struct {
	PortNumber            uint32
	Service, Subset, Name string
}

// proxyOf a patch is what it asks of proxies; nil for nothing.
func proxyOf(p *model.Patch) *proxyMatch {
	if !bytes.Contains(p.Match, []byte(`"proxy"`)) {
		return nil
	}
	var m struct{ Proxy *proxyMatch }
	if json.Unmarshal(p.Match, &m) != nil {
		return nil
	}
	return m.Proxy
}

// is true for a proxy of the version, that tells all of the metadata.
func (m *proxyMatch) is(who Proxy) bool {
	if m.ProxyVersion != "" {
		// Ingest has refused what doesn't compile, or not in bounds.
		if ok, err := regexp.MatchString(m.ProxyVersion, who.Version); err != nil || !ok {
			return false
		}
	}
	for k, v := range m.Metadata {
		if got, told := who.Metadata[k]; !told || got != v {
			return false
		}
	}
	return true
}

// values are what patches of each kind patch with.
var values = map[string]func() proto.Message{
	"CLUSTER":             func() proto.Message { return &clusterv3.Cluster{} },
	"LISTENER":            func() proto.Message { return &listenerv3.Listener{} },
	"LISTENER_FILTER":     func() proto.Message { return &listenerv3.ListenerFilter{} },
	"FILTER_CHAIN":        func() proto.Message { return &listenerv3.FilterChain{} },
	"NETWORK_FILTER":      func() proto.Message { return &listenerv3.Filter{} },
	"HTTP_FILTER":         func() proto.Message { return &hcmv3.HttpFilter{} },
	"ROUTE_CONFIGURATION": func() proto.Message { return &routev3.RouteConfiguration{} },
	"VIRTUAL_HOST":        func() proto.Message { return &routev3.VirtualHost{} },
	"HTTP_ROUTE":          func() proto.Message { return &routev3.Route{} },
	"BOOTSTRAP":           func() proto.Message { return &bootstrapv3.Bootstrap{} },
	"EXTENSION_CONFIG":    func() proto.Message { return &corev3.TypedExtensionConfig{} },
}

// Read a patch. It is nil when it can't be applied; then the problem says why.
func Read(p *model.Patch) (*Patch, *model.Problem) {
	out := &Patch{Patch: p}
	refuse := func(field, reason, format string, args ...any) (*Patch, *model.Problem) {
		found := p.Problem(fmt.Sprintf("spec.configPatches[%d].%s", p.Index, field), reason, fmt.Sprintf(format, args...))
		return nil, &found
	}
	empty, known := values[p.ApplyTo]
	if !known {
		return refuse("applyTo", "NotSupported", "%s is not patched; use a patch of a listener, filter, route or cluster", p.ApplyTo)
	}
	if len(p.Match) > 0 {
		if err := json.Unmarshal(p.Match, &out.match); err != nil {
			return refuse("match", "Invalid", "it can't be read: %v; mend it", err)
		}
	}
	if p.Operation == "REMOVE" {
		return out, nil
	}
	out.value = empty()
	if err := protojson.Unmarshal(durations(p.Value, out.value.ProtoReflect().Descriptor()), out.value); err != nil {
		return refuse("patch.value", "Invalid", "it is no %s of Envoy 1.40: %v; mend the value", out.value.ProtoReflect().Descriptor().Name(), err)
	}
	return out, nil
}
