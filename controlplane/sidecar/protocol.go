// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// requestsPerConnection bounds how many requests one connection to another
// network's gateway carries. The gateway sees TLS only, so it balances
// connections: a connection that lived for ever would pin its caller to one
// remote pod. 32 spreads 1,000 requests over 31 connections, which miss one of
// three pods with a probability of 1e-5 even if each picked blindly, and costs
// a thirty-second of a handshake per request. See docs/adr/0003-locality.md.
const requestsPerConnection = 32

// speak sets how a cluster's HTTP requests go upstream, as Istio does: a port
// that says http gets HTTP/1.1 whatever the client spoke, one whose protocol is
// sniffed gets what the client spoke.
func speak(c *clusterv3.Cluster, p model.Protocol, reach Reach) {
	if p == model.TCP || p == model.TLS {
		return
	}
	options := &upstreamv3.HttpProtocolOptions{}
	if p.IsHTTP2() {
		options.UpstreamProtocolOptions = &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		}
	} else if reach.Plain || p == model.HTTP && !reach.GRPC {
		options.UpstreamProtocolOptions = &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
				},
			},
		}
	} else {
		options.UpstreamProtocolOptions = &upstreamv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &upstreamv3.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  &corev3.Http1ProtocolOptions{},
				Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
			},
		}
	}
	if reach.Gateways {
		options.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{
			MaxRequestsPerConnection: wrapperspb.UInt32(requestsPerConnection),
		}
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: envoy.Any(options)}
}
