// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// What one client of the edge may cost. Envoy's guide to edge proxies names the
// limits; windows are wider than it says, for clients that are far away.
const (
	maxStreams       = 1024
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
	// headersTimeout is how long the headers of a request may take to come.
	headersTimeout = 30 * time.Second
)

// manager is the HTTP connection manager of listeners that share routes.
func (t *translation) manager(name string) *hcmv3.HttpConnectionManager {
	m := envoy.HTTPManager(t.Mesh.Settings, name)
	m.RouteSpecifier = envoy.RDS(name)
	standardmetrics.CountRequests(t.Mesh.Settings, standardmetrics.Gateway, m)
	m.ServerName = "istio-envoy"
	// It stands at the edge: who connects is the client, and what the client says
	// of others counts for as many hops as there are proxies of ours before it.
	m.UseRemoteAddress = wrapperspb.Bool(true)
	m.XffNumTrustedHops = t.Proxy.Topology.TrustedProxies
	m.PreserveExternalRequestId = false
	// "host." is "host" to policies and routes alike.
	m.StripTrailingHostDot = true
	m.ForwardClientCertDetails = forwarded[t.Proxy.Topology.Certificate]
	m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
		Subject: wrapperspb.Bool(true), Cert: true, Dns: true, Uri: true,
	}
	m.RequestHeadersTimeout = durationpb.New(headersTimeout)
	m.Http2ProtocolOptions = &corev3.Http2ProtocolOptions{
		MaxConcurrentStreams:        wrapperspb.UInt32(maxStreams),
		InitialStreamWindowSize:     wrapperspb.UInt32(streamWindow),
		InitialConnectionWindowSize: wrapperspb.UInt32(connectionWindow),
	}
	m.HttpFilters = slices.Concat(policy.Discovered(t.Mesh.Settings, t.Policies).HTTP(), routing.Filters(), []*hcmv3.HttpFilter{envoy.OfferHTTP()}, m.HttpFilters)
	return m
}

// forwarded by what the topology says of x-forwarded-client-cert.
var forwarded = map[model.ForwardedCertificate]hcmv3.HttpConnectionManager_ForwardClientCertDetails{
	model.SanitizeSet:       hcmv3.HttpConnectionManager_SANITIZE_SET,
	model.Sanitize:          hcmv3.HttpConnectionManager_SANITIZE,
	model.ForwardOnly:       hcmv3.HttpConnectionManager_FORWARD_ONLY,
	model.AppendForward:     hcmv3.HttpConnectionManager_APPEND_FORWARD,
	model.AlwaysForwardOnly: hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY,
}
