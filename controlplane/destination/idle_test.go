// SPDX-License-Identifier: Apache-2.0

package destination_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestIdle: what changes nothing is named with its place, and nothing else is.
func TestIdle(t *testing.T) {
	second, upgrade, retries := time.Second, true, uint32(3)
	requests := &model.ConnectionPool{
		MaxConnections: 1, MaxPending: 1, MaxRequests: 1, MaxRequestsPerConn: 1, MaxRetries: &retries, IdleTimeout: &second, TCPIdleTimeout: &second,
		MaxConcurrentStreams: 1, HTTP2Ping: &model.Ping{Interval: second, Timeout: second}, HTTP2: &upgrade,
	}
	streams := &model.ConnectionPool{MaxConcurrentStreams: 1, HTTP2Ping: &model.Ping{Interval: second, Timeout: second}}
	cookie := &model.Balancer{Kind: model.RingHash, Hash: &model.HashKey{Cookie: &model.HashCookie{Name: "user"}}}
	port := func(number uint16, protocol model.Protocol) model.Port {
		return model.Port{Number: number, Protocol: protocol}
	}
	all := []string{
		"connectionPool.http.http2MaxRequests", "connectionPool.http.maxRequestsPerConnection", "connectionPool.http.maxRetries", "connectionPool.http.idleTimeout",
		"connectionPool.http.maxConcurrentStreams", "connectionPool.http.http2KeepAlive", "connectionPool.http.h2UpgradePolicy",
	}
	of := func(prefix string, fields ...string) []string {
		var out []string
		for _, f := range fields {
			out = append(out, prefix+"."+f)
		}
		return out
	}
	for name, c := range map[string]struct {
		policy     model.TrafficPolicy
		subsets    []model.Subset
		ports      []model.Port
		resolution model.Resolution
		headless   bool
		requested  bool
		connected  bool
		want       []string
	}{
		"RequestsToTCP":         {policy: pooled(requests), ports: []model.Port{port(1, model.TCP)}, want: of("spec.trafficPolicy", all...)},
		"RequestsToTLS":         {policy: pooled(requests), ports: []model.Port{port(1, model.TLS)}, want: of("spec.trafficPolicy", all...)},
		"RequestsToTLSRouted":   {policy: pooled(requests), ports: []model.Port{port(1, model.TLS)}, requested: true},
		"RequestsToSome":        {policy: pooled(requests), ports: []model.Port{port(1, model.TCP), port(2, model.HTTP)}},
		"RequestsToSniffed":     {policy: pooled(requests), ports: []model.Port{port(1, model.Auto)}},
		"RequestsToPods":        {policy: pooled(requests), ports: []model.Port{port(1, model.Auto)}, headless: true, want: of("spec.trafficPolicy", all...)},
		"UpgradeOfHTTP2":        {policy: pooled(requests), ports: []model.Port{port(1, model.GRPC)}, want: of("spec.trafficPolicy", "connectionPool.http.h2UpgradePolicy")},
		"StreamsOfHTTP1":        {policy: pooled(streams), ports: []model.Port{port(1, model.HTTP)}, want: of("spec.trafficPolicy", "connectionPool.http.maxConcurrentStreams", "connectionPool.http.http2KeepAlive")},
		"StreamsOfHTTP2":        {policy: pooled(streams), ports: []model.Port{port(1, model.HTTP2)}},
		"NoService":             {policy: pooled(requests)},
		"CookieToTCP":           {policy: balanced(cookie), ports: []model.Port{port(1, model.TCP)}, want: of("spec.trafficPolicy", "loadBalancer.consistentHash.httpCookie")},
		"CookieToHTTP":          {policy: balanced(cookie), ports: []model.Port{port(1, model.HTTP)}},
		"NothingToChoose":       {policy: balanced(cookie), ports: []model.Port{port(1, model.HTTP)}, resolution: model.AsCalled, want: of("spec.trafficPolicy", "loadBalancer")},
		"PassthroughAsCalled":   {policy: balanced(&model.Balancer{Kind: model.Passthrough}), ports: []model.Port{port(1, model.HTTP)}, resolution: model.AsCalled},
		"StatusesOfTCP":         {policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{Outliers: &model.OutlierDetection{ErrorStatuses: []uint32{429}}}}, ports: []model.Port{port(1, model.TCP)}, want: of("spec.trafficPolicy", "outlierDetection.outlierDetectionHttpErrorCodes")},
		"RetriesOfTCP":          {policy: model.TrafficPolicy{RetryBudget: &model.RetryBudget{Percent: 1}}, ports: []model.Port{port(1, model.TCP)}, want: of("spec.trafficPolicy", "retryBudget")},
		"TunnelOfRequests":      {policy: model.TrafficPolicy{Tunnel: &model.Tunnel{Host: "proxy"}}, ports: []model.Port{port(1, model.HTTP)}, want: of("spec.trafficPolicy", "tunnel")},
		"TunnelOfRoutedStreams": {policy: model.TrafficPolicy{Tunnel: &model.Tunnel{Host: "proxy"}}, ports: []model.Port{port(1, model.HTTP)}, connected: true},
		"OnePort": {
			policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{Connections: requests}, Ports: []model.PortPolicy{{Port: 3306, Balancer: cookie}}},
			ports:  []model.Port{port(80, model.HTTP), port(3306, model.TCP)}, want: of("spec.trafficPolicy.portLevelSettings[3306]", "loadBalancer.consistentHash.httpCookie"),
		},
		"NoSuchPort": {
			policy:  model.TrafficPolicy{Ports: []model.PortPolicy{{Port: 81, Connections: requests}}},
			subsets: []model.Subset{{Name: "v1", Policy: model.TrafficPolicy{Ports: []model.PortPolicy{{Port: 81, Connections: requests}, {Port: 82}}}}},
			ports:   []model.Port{port(80, model.HTTP)}, want: []string{"spec.trafficPolicy.portLevelSettings[81]", "spec.subsets[v1].trafficPolicy.portLevelSettings[82]"},
		},
		"RestOfThePorts": {
			policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{Balancer: cookie}, Ports: []model.PortPolicy{{Port: 80, Connections: requests}}},
			ports:  []model.Port{port(80, model.HTTP), port(3306, model.TCP)}, want: of("spec.trafficPolicy", "loadBalancer.consistentHash.httpCookie"),
		},
		"SubsetSaysItAgain": {
			policy: balanced(cookie), subsets: []model.Subset{{Name: "v1", Policy: balanced(cookie)}, {Name: "v2", Policy: pooled(&model.ConnectionPool{UseClientProtocol: true})}},
			ports: []model.Port{port(1, model.TCP)}, want: append(of("spec.trafficPolicy", "loadBalancer.consistentHash.httpCookie"), of("spec.subsets[v2].trafficPolicy", "connectionPool.http.useClientProtocol")...),
		},
	} {
		t.Run(name, func(t *testing.T) {
			svc := &model.Service{Hostname: "a.shop.svc.cluster.local", Resolution: c.resolution, Ports: c.ports}
			if c.headless {
				svc.Kind = model.Headless
			}
			var uses []destination.Use
			for _, p := range c.ports {
				u := destination.UseOf(svc, p)
				if c.requested {
					u.Requested(p)
				}
				if c.connected {
					u.Connected()
				}
				uses = append(uses, u)
			}
			policy := &model.DestinationPolicy{Origin: model.Origin{Kind: "DestinationRule", Namespace: "shop", Name: "a"}, Policy: c.policy, Subsets: c.subsets}
			var got []string
			for _, p := range destination.Idle(policy, min(len(c.ports), 1), uses) {
				got = append(got, p.Field)
				if p.Reason != "NoEffect" || p.Name != "a" || !strings.Contains(p.Message, ":") {
					t.Errorf("%+v", p)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("fields -want +got:\n%s", diff)
			}
		})
	}
	t.Run("OnlyUDP", func(t *testing.T) {
		p := &model.DestinationPolicy{Origin: model.Origin{Kind: "DestinationRule"}, Subsets: []model.Subset{{Name: "v1"}}}
		var got []string
		for _, f := range destination.Idle(p, 1, nil) {
			got = append(got, f.Field)
		}
		if diff := cmp.Diff([]string{"spec.subsets", "spec.trafficPolicy"}, got); diff != "" {
			t.Errorf("fields -want +got:\n%s", diff)
		}
	})
}

func pooled(c *model.ConnectionPool) model.TrafficPolicy {
	return model.TrafficPolicy{PortPolicy: model.PortPolicy{Connections: c}}
}

func balanced(b *model.Balancer) model.TrafficPolicy {
	return model.TrafficPolicy{PortPolicy: model.PortPolicy{Balancer: b}}
}
