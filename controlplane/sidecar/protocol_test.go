// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestSpeak: gateways, whose clients choose HTTP/2 by themselves, speak it only
// to ports that say so; sidecars speak what the application spoke.
func TestSpeak(t *testing.T) {
	tests := map[string]struct {
		protocol model.Protocol
		plain    bool
		want     string
	}{
		"SidecarAuto":  {model.Auto, false, "as called"},
		"SidecarHTTP2": {model.HTTP2, false, "HTTP/2"},
		"GatewayAuto":  {model.Auto, true, "HTTP/1.1"},
		"GatewayHTTP":  {model.HTTP, true, "HTTP/1.1"},
		"GatewayHTTP2": {model.HTTP2, true, "HTTP/2"},
		"GatewayGRPC":  {model.GRPC, true, "HTTP/2"},
		"GatewayTCP":   {model.TCP, true, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := &clusterv3.Cluster{}
			speak(c, test.protocol, Reach{Plain: test.plain})
			got := ""
			if packed := c.TypedExtensionProtocolOptions[httpOptions]; packed != nil {
				var o upstreamv3.HttpProtocolOptions
				if err := packed.UnmarshalTo(&o); err != nil {
					t.Fatal(err)
				}
				switch {
				case o.GetUseDownstreamProtocolConfig() != nil:
					got = "as called"
				case o.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil:
					got = "HTTP/2"
				case o.GetExplicitHttpConfig().GetHttpProtocolOptions() != nil:
					got = "HTTP/1.1"
				}
			}
			if got != test.want {
				t.Errorf("speaks %q, want %q", got, test.want)
			}
		})
	}
}
