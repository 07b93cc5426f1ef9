// SPDX-License-Identifier: Apache-2.0

package destination_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// row is a policy and what it adds to (+) and takes from (-) a cluster, line by
// line in YAML, and the problems it has.
type row struct {
	protocol model.Protocol
	settings model.Settings
	policy   model.TrafficPolicy
	target   destination.Target
	want     string
	problems []string
}

func of(p model.PortPolicy) model.TrafficPolicy { return model.TrafficPolicy{PortPolicy: p} }

func TestApply(t *testing.T) {
	for name, r := range map[string]row{
		"ZonesOfARegion": {
			policy: of(model.PortPolicy{Balancer: &model.Balancer{Locality: &model.LocalityBalancing{Zones: &model.ZoneBalancing{MinimumHosts: new(uint32(3))}}}}),
			want: `
+ commonLbConfig:
+   zoneAwareLbConfig:
+     minClusterSize: "3"`,
		},
		"ZonesOfARegionOff": {
			settings: model.Settings{LocalityBalancing: &model.LocalityBalancing{Disabled: true, Zones: &model.ZoneBalancing{}}},
			want: `
+ commonLbConfig:
+   zoneAwareLbConfig:
+     routingEnabled: {}`,
		},
		"Baseline": {
			settings: model.Settings{Connections: &model.ConnectionPool{MaxConnections: 7}},
			want: `
+   - maxConnections: 7
+     maxRetries: 4294967295
-   - maxRetries: 4294967295`,
		},
		"OwnBeforeBaseline": {
			settings: model.Settings{Connections: &model.ConnectionPool{MaxConnections: 7}},
			policy:   of(model.PortPolicy{Connections: &model.ConnectionPool{MaxConnections: 8}}),
			want: `
+   - maxConnections: 8
+     maxRetries: 4294967295
-   - maxRetries: 4294967295`,
		},
		"LeastRequestWarmsUp": {
			policy: of(model.PortPolicy{Balancer: &model.Balancer{Warmup: &model.Warmup{Duration: 30 * time.Second, MinimumPercent: new(25.0), Aggression: new(2.0)}}}),
			want: `
+ leastRequestLbConfig:
+   slowStartConfig:
+     aggression:
+       defaultValue: 2
+       runtimeKey: isthmesh.warmup.aggression
+     minWeightPercent:
+       value: 25
+     slowStartWindow: 30s`,
		},
		"RoundRobin": {policy: of(model.PortPolicy{Balancer: &model.Balancer{Kind: model.RoundRobin}}), want: "\n- lbPolicy: LEAST_REQUEST"},
		"Random":     {policy: of(model.PortPolicy{Balancer: &model.Balancer{Kind: model.Random}}), want: "\n+ lbPolicy: RANDOM\n- lbPolicy: LEAST_REQUEST"},
		"RandomDoesNotWarmUp": {
			policy: of(model.PortPolicy{Balancer: &model.Balancer{Kind: model.Random, Warmup: &model.Warmup{Duration: time.Second}}}),
			want:   "\n+ lbPolicy: RANDOM\n- lbPolicy: LEAST_REQUEST", problems: []string{"spec.trafficPolicy.loadBalancer.warmup NotSupported"},
		},
		"RingHash": {
			policy: of(model.PortPolicy{Balancer: &model.Balancer{Kind: model.RingHash}}),
			want:   "\n+ lbPolicy: RING_HASH\n+ ringHashLbConfig:\n+   minimumRingSize: \"1024\"\n- lbPolicy: LEAST_REQUEST",
		},
		"Maglev": {
			policy: of(model.PortPolicy{Balancer: &model.Balancer{Kind: model.Maglev, Table: 65537}}),
			want:   "\n+ lbPolicy: MAGLEV\n+ maglevLbConfig:\n+   tableSize: \"65537\"\n- lbPolicy: LEAST_REQUEST",
		},
		"MaglevOfNoPrime": {
			policy: of(model.PortPolicy{Balancer: &model.Balancer{Kind: model.Maglev, Table: 65536}}),
			want:   "\n+ lbPolicy: MAGLEV\n- lbPolicy: LEAST_REQUEST", problems: []string{"spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize InvalidTableSize"},
		},
		"Pool": {
			policy: of(model.PortPolicy{Connections: &model.ConnectionPool{
				MaxConnections: 100, ConnectTimeout: new(30 * time.Millisecond), TCPKeepalive: &model.Keepalive{Probes: 9, Time: 7200 * time.Second, Interval: 75 * time.Second},
				MaxPending: 1, MaxRequests: 2, MaxRetries: new(uint32(3)), MaxRequestsPerConn: 10, IdleTimeout: new(time.Minute), MaxConnectionAge: new(time.Hour),
				MaxConcurrentStreams: 7, HTTP2Ping: &model.Ping{Interval: time.Second, Timeout: 2 * time.Second},
			}}),
			want: `
+   - maxConnections: 100
+     maxPendingRequests: 1
+     maxRequests: 2
+     maxRetries: 3
+ connectTimeout: 0.030s
+     commonHttpProtocolOptions:
+       idleTimeout: 60s
+       maxConnectionDuration: 3600s
+       maxRequestsPerConnection: 10
+       http2ProtocolOptions:
+         connectionKeepalive:
+           interval: 1s
+           timeout: 2s
+         maxConcurrentStreams: 7
+ upstreamConnectionOptions:
+   tcpKeepalive:
+     keepaliveInterval: 75
+     keepaliveProbes: 9
+     keepaliveTime: 7200
-   - maxRetries: 4294967295
- connectTimeout: 10s
-       http2ProtocolOptions: {}`,
		},
		"OtherPortHasItsOwn": {
			policy: model.TrafficPolicy{
				PortPolicy: model.PortPolicy{Connections: &model.ConnectionPool{ConnectTimeout: new(time.Second)}},
				Ports:      []model.PortPolicy{{Port: 80, Balancer: &model.Balancer{Kind: model.Random}}, {Port: 81, Balancer: &model.Balancer{Kind: model.RoundRobin}}},
			},
			want: "\n+ lbPolicy: RANDOM\n- lbPolicy: LEAST_REQUEST",
		},
		"UpgradeToHTTP2": {
			policy: of(model.PortPolicy{Connections: &model.ConnectionPool{HTTP2: new(true)}}),
			want:   "\n+     explicitHttpConfig:\n-     useDownstreamProtocolConfig:\n-       httpProtocolOptions: {}",
		},
		"MeshUpgradesToHTTP2": {
			settings: model.Settings{HTTP2Upgrade: true},
			want:     "\n+     explicitHttpConfig:\n-     useDownstreamProtocolConfig:\n-       httpProtocolOptions: {}",
		},
		"MeshUpgradeRefused": {settings: model.Settings{HTTP2Upgrade: true}, policy: of(model.PortPolicy{Connections: &model.ConnectionPool{HTTP2: new(false)}})},
		"ClientProtocol": {
			protocol: model.HTTP2, policy: of(model.PortPolicy{Connections: &model.ConnectionPool{UseClientProtocol: true}}),
			want: "\n+     useDownstreamProtocolConfig:\n+       httpProtocolOptions: {}\n-     explicitHttpConfig:",
		},
		"MeshKeepalive": {
			settings: model.Settings{TCPKeepalive: &model.Keepalive{Time: 10 * time.Second}},
			want:     "\n+ upstreamConnectionOptions:\n+   tcpKeepalive:\n+     keepaliveTime: 10",
		},
		"Outliers": {
			policy: of(model.PortPolicy{Outliers: &model.OutlierDetection{
				Consecutive5xx: new(uint32(7)), ConsecutiveGateway: new(uint32(3)), SplitLocal: true, ConsecutiveLocal: new(uint32(2)), Interval: new(5 * time.Minute),
				BaseEjection: new(15 * time.Minute), MaxEjectionPercent: new(uint32(50)), MinHealthPercent: new(uint32(30)), ErrorStatuses: []uint32{404, 429},
			}}),
			want: `
+ commonLbConfig:
+   healthyPanicThreshold:
+     value: 30
+ outlierDetection:
+   baseEjectionTime: 900s
+   consecutive5xx: 7
+   consecutiveGatewayFailure: 3
+   consecutiveLocalOriginFailure: 2
+   enforcingConsecutive5xx: 100
+   enforcingConsecutiveGatewayFailure: 100
+   enforcingConsecutiveLocalOriginFailure: 100
+   enforcingLocalOriginSuccessRate: 0
+   enforcingSuccessRate: 0
+   interval: 300s
+   maxEjectionPercent: 50
+   splitExternalLocalOriginErrors: true
+     outlierDetection:
+       errorMatcher:
+         httpResponseHeadersMatch:
+           headers:
+           - name: :status
+             stringMatch:
+               safeRegex:
+                 regex: 404|429`,
		},
		"OutliersByDefault": {
			policy: of(model.PortPolicy{Outliers: &model.OutlierDetection{Consecutive5xx: new(uint32(0)), ConsecutiveLocal: new(uint32(2))}}),
			want:   "\n+ commonLbConfig:\n+   healthyPanicThreshold: {}\n+ outlierDetection:\n+   alwaysEjectOneHost: true\n+   enforcingConsecutive5xx: 0\n+   enforcingSuccessRate: 0",
		},
		"OutliersOfARegionThatGoes": {
			policy: of(model.PortPolicy{
				Outliers: &model.OutlierDetection{},
				Balancer: &model.Balancer{Locality: &model.LocalityBalancing{Failover: []model.Failover{{From: "a", To: "b"}}}},
			}),
			want: "\n+ commonLbConfig:\n+   healthyPanicThreshold: {}\n+ outlierDetection:\n+   enforcingSuccessRate: 0\n+   maxEjectionPercent: 100",
		},
		"RetryBudget": {
			policy: model.TrafficPolicy{RetryBudget: &model.RetryBudget{Percent: 20, MinConcurrency: 3, Interval: new(time.Second)}},
			want: `
+     retryBudget:
+       budgetInterval: 1s
+       budgetPercent:
+         value: 20
+       minRetryConcurrency: 3`,
		},
		"DistributedByWeight": {
			policy: of(model.PortPolicy{Balancer: &model.Balancer{Locality: &model.LocalityBalancing{Distribute: []model.Distribute{{From: "*"}}}}}),
			want:   "\n+ commonLbConfig:\n+   localityWeightedLbConfig: {}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, after, problems := r.apply()
			if d := cmp.Diff(r.want, difference(t, before, after)); d != "" {
				t.Errorf("lines added and taken (-want +got):\n%s", d)
			}
			if d := cmp.Diff(r.problems, problems); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
		})
	}
}

// apply the row's policy to a cluster.
func (r row) apply() (before, after *clusterv3.Cluster, problems []string) {
	if r.protocol == model.Auto {
		r.protocol = model.HTTP
	}
	t := r.target
	t.Settings = &r.settings
	t.Service = &model.Service{
		Hostname: "reviews.shop.svc.cluster.local", Identities: []string{"spiffe://td/ns/shop/sa/reviews"},
		Ports: []model.Port{{Number: 80, Protocol: r.protocol}},
	}
	t.SNI = "outbound_.80_._.reviews.shop.svc.cluster.local"
	if !cmp.Equal(r.policy, model.TrafficPolicy{}) {
		t.Policy = &model.DestinationPolicy{Policy: r.policy}
	}
	before = base(t.Service, false)
	after = proto.CloneOf(before)
	for _, p := range destination.Apply(after, t) {
		problems = append(problems, p.Field+" "+p.Reason)
	}
	return before, after, problems
}

// TestNoPolicy: a cluster without a policy keeps its bytes.
func TestNoPolicy(t *testing.T) {
	for _, gateways := range []bool{false, true} {
		for _, protocol := range protocols {
			svc := &model.Service{Hostname: "a.b", Ports: []model.Port{{Number: 80, Protocol: protocol}}}
			want, got := base(svc, gateways), base(svc, gateways)
			if p := destination.Apply(got, destination.Target{Settings: &model.Settings{}, Service: svc}); len(p) > 0 {
				t.Error(p)
			}
			if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
				t.Error(d)
			}
		}
	}
}

// TestGatewayLimits: what the translator chose for connections to another
// network's gateway is lowered by a policy, never raised.
func TestGatewayLimits(t *testing.T) {
	svc := &model.Service{Hostname: "a.b", Ports: []model.Port{{Number: 80, Protocol: model.HTTP}}}
	for name, c := range map[string]struct{ policy, want uint32 }{"Raised": {100, 32}, "Lowered": {5, 5}} {
		t.Run(name, func(t *testing.T) {
			cluster := base(svc, true)
			destination.Apply(cluster, destination.Target{Settings: &model.Settings{TCPKeepalive: &model.Keepalive{Time: time.Hour}}, Service: svc, Policy: &model.DestinationPolicy{
				Policy: of(model.PortPolicy{Connections: &model.ConnectionPool{MaxRequestsPerConn: c.policy}}),
			}})
			if s := text(t, cluster); !strings.Contains(s, "maxRequestsPerConnection: "+fmt.Sprint(c.want)) || !strings.Contains(s, "keepaliveTime: 30") {
				t.Error(s)
			}
		})
	}
}

// TestStream: what a policy says of TCP proxies.
func TestStream(t *testing.T) {
	got := envoy.TCPProxy(&model.Settings{}, "c")
	target := destination.Target{Service: &model.Service{Ports: []model.Port{{Number: 80}}}, Policy: &model.DestinationPolicy{Policy: model.TrafficPolicy{
		PortPolicy: model.PortPolicy{
			Connections: &model.ConnectionPool{TCPIdleTimeout: new(time.Duration(0)), MaxConnectionAge: new(time.Minute)},
			Balancer:    &model.Balancer{Kind: model.RingHash, Hash: &model.HashKey{SourceIP: true}},
		},
		Tunnel: &model.Tunnel{Method: "POST", Host: "2001:db8::1", Port: 443},
	}}}
	destination.StreamOf(target).Apply(got)
	want := &tcpproxyv3.TcpProxy{}
	if err := protojson.Unmarshal([]byte(`{"statPrefix": "c", "cluster": "c", "idleTimeout": "0s", "maxDownstreamConnectionDuration": "60s",
		"hashPolicy": [{"sourceIp": {}}], "tunnelingConfig": {"hostname": "[2001:db8::1]:443", "usePost": true}}`), want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
}

// difference of two clusters: lines that only the second has, then those that only the first has.
func difference(t *testing.T, before, after *clusterv3.Cluster) string {
	t.Helper()
	lines := func(c *clusterv3.Cluster) []string { return strings.Split(strings.TrimSpace(text(t, c)), "\n") }
	missing := func(sign string, from, in []string) string {
		have := map[string]int{}
		for _, l := range in {
			have[l]++
		}
		var b strings.Builder
		for _, l := range from {
			if have[l]--; have[l] < 0 {
				b.WriteString("\n" + sign + " " + l)
			}
		}
		return b.String()
	}
	was, is := lines(before), lines(after)
	return missing("+", is, was) + missing("-", was, is)
}

func text(t *testing.T, c *clusterv3.Cluster) string {
	t.Helper()
	b, err := protojson.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := yaml.JSONToYAML(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
