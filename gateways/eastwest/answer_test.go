// SPDX-License-Identifier: Apache-2.0

package eastwest

import (
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// TestAnswering: the chain that answers checks is there when there are checks, asks for a
// certificate of the mesh, tells nothing but a status, waits for nobody for long, and is
// behind no policy that guards the others and in no log.
func TestAnswering(t *testing.T) {
	const exported = "outbound_.80_._.reviews.shop.svc.cluster.local"
	guards := &policy.Chosen{Authorizations: []*model.Authorization{{
		Origin: model.Origin{Kind: "AuthorizationPolicy", Namespace: "istio-system", Name: "names"}, Action: model.Allow,
		Rules: []model.AuthorizationRule{{When: []model.Condition{{Key: "connection.sni", Values: model.Values{In: []string{exported}}}}}},
	}}}
	for name, test := range map[string]struct {
		checks *model.GatewayChecks
		names  []string
		want   []string
	}{
		"Off":             {nil, []string{exported}, []string{exported}},
		"On":              {standard, []string{exported}, []string{exported, CheckName}},
		"NothingExported": {standard, nil, []string{CheckName}},
		"NothingAtAll":    {nil, nil, []string{envoy.BlackHoleCluster}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &model.Settings{RootNamespace: "istio-system", GatewayChecks: test.checks, StandardMetrics: true, AccessLogPath: "/dev/stdout"}
			r, err := Listener(s, test.names, guards)
			if err != nil {
				t.Fatal(err)
			}
			m, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			chains := m.(*listenerv3.Listener).GetFilterChains() //nolint:forcetypeassert // made above
			if len(chains) != len(test.want) {
				t.Fatalf("%d chains, want %v", len(chains), test.want)
			}
			for i, c := range chains {
				switch {
				case c.GetName() != test.want[i]:
					t.Errorf("chain %d is %s, want %s", i, c.GetName(), test.want[i])
				case c.GetName() == CheckName:
					checkAnswering(t, c)
				case c.GetName() == exported && len(c.GetFilters()) < 2:
					t.Error("no policy guards what is exported, so nothing is shown by this")
				}
			}
		})
	}
}

func checkAnswering(t *testing.T, c *listenerv3.FilterChain) {
	t.Helper()
	if names := c.GetFilterChainMatch().GetServerNames(); len(names) != 1 || names[0] != CheckName || c.GetFilterChainMatch().GetTransportProtocol() != "tls" {
		t.Errorf("it takes %v", c.GetFilterChainMatch())
	}
	tls := &tlsv3.DownstreamTlsContext{}
	if err := c.GetTransportSocket().GetTypedConfig().UnmarshalTo(tls); err != nil {
		t.Fatal(err)
	}
	if !tls.GetRequireClientCertificate().GetValue() || len(tls.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames()) == 0 {
		t.Errorf("it answers whoever asks: %v", tls)
	}
	if len(c.GetFilters()) != 1 {
		t.Fatalf("it has %d filters", len(c.GetFilters()))
	}
	m := &hcmv3.HttpConnectionManager{}
	if err := c.GetFilters()[0].GetTypedConfig().UnmarshalTo(m); err != nil {
		t.Fatal(err)
	}
	if len(m.GetHttpFilters()) != 1 || len(m.GetAccessLog()) > 0 || m.GetTracing() != nil {
		t.Errorf("its filters are %v, its logs %v, its tracing %v", m.GetHttpFilters(), m.GetAccessLog(), m.GetTracing())
	}
	for field, d := range map[string]interface{ GetSeconds() int64 }{
		"stream_idle_timeout": m.GetStreamIdleTimeout(), "request_timeout": m.GetRequestTimeout(), "request_headers_timeout": m.GetRequestHeadersTimeout(),
		"transport_socket_connect_timeout": c.GetTransportSocketConnectTimeout(),
	} {
		if d.GetSeconds() != 10 {
			t.Errorf("%s is %d s", field, d.GetSeconds())
		}
	}
	hosts := m.GetRouteConfig().GetVirtualHosts()
	if len(hosts) != 1 || len(hosts[0].GetDomains()) != 1 || hosts[0].GetDomains()[0] != CheckName || len(hosts[0].GetRoutes()) != 1 {
		t.Fatalf("it routes %v", hosts)
	}
	route := hosts[0].GetRoutes()[0]
	if a := route.GetDirectResponse(); route.GetMatch().GetPath() != "/check" || a.GetStatus() != 200 || a.GetBody() != nil {
		t.Errorf("it answers %v", route)
	}
}
