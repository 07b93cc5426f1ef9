// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"fmt"
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestSilentGateways: one that doesn't answer comes last and unhealthy, but only
// as long as somebody else is left.
func TestSilentGateways(t *testing.T) {
	gateway := func(n int, silent bool) model.Endpoint {
		return model.Endpoint{
			Address: fmt.Sprintf("192.0.2.%d", n), Port: 15443, Cluster: "east", Gateway: true, Unreached: silent,
			Locality: model.Locality{Region: "us"}, Weight: 1,
		}
	}
	pod := model.Endpoint{Address: "10.0.0.1", Port: 80, Cluster: "west", Locality: model.Locality{Region: "eu"}, Weight: 1}
	leaving := pod
	leaving.Address, leaving.Draining = "10.0.0.2", true
	toUS := &model.DestinationPolicy{Policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{Balancer: &model.Balancer{Locality: &model.LocalityBalancing{
		Distribute: []model.Distribute{{From: "*", To: []model.LocalityWeight{{Locality: "us", Weight: 100}}}},
	}}}}}
	for name, test := range map[string]struct {
		endpoints []model.Endpoint
		policy    *model.DestinationPolicy
		want      string
	}{
		"AllAnswer":      {[]model.Endpoint{gateway(1, false), gateway(2, false)}, nil, "0:192.0.2.1=UNKNOWN 0:192.0.2.2=UNKNOWN"},
		"OneOfTwo":       {[]model.Endpoint{gateway(1, true), gateway(2, false)}, nil, "0:192.0.2.2=UNKNOWN 1:192.0.2.1=UNHEALTHY"},
		"TwoOfThree":     {[]model.Endpoint{gateway(1, true), gateway(2, false), gateway(3, true)}, nil, "0:192.0.2.2=UNKNOWN 1:192.0.2.1=UNHEALTHY 1:192.0.2.3=UNHEALTHY"},
		"All":            {[]model.Endpoint{gateway(1, true), gateway(2, true)}, nil, "0:192.0.2.1=UNKNOWN 0:192.0.2.2=UNKNOWN"},
		"OwnPodsAreLeft": {[]model.Endpoint{pod, gateway(1, true)}, nil, "0:10.0.0.1=UNKNOWN 1:192.0.2.1=UNHEALTHY"},
		"OnlyLeavingPod": {[]model.Endpoint{leaving, gateway(1, true)}, nil, "0:192.0.2.1=UNKNOWN 1:10.0.0.2=DRAINING"},
		"LeavingPodToo":  {[]model.Endpoint{leaving, gateway(1, true), gateway(2, false)}, nil, "0:192.0.2.2=UNKNOWN 1:10.0.0.2=DRAINING 2:192.0.2.1=UNHEALTHY"},
		// What a policy leaves out is nobody to go to.
		"PolicyLeavesOthersOut": {[]model.Endpoint{pod, gateway(1, true)}, toUS, "0:192.0.2.1=UNKNOWN"},
		"PolicyLeavesOne":       {[]model.Endpoint{pod, gateway(1, true), gateway(2, false)}, toUS, "0:192.0.2.2=UNKNOWN 1:192.0.2.1=UNHEALTHY"},
	} {
		t.Run(name, func(t *testing.T) {
			call := Call{Settings: settings, Policy: test.policy, Service: &model.Service{Hostname: "a.b.svc.cluster.local", Ports: []model.Port{{Number: 80}}}}
			made, err := call.Endpoints(0, &model.EndpointSet{Endpoints: test.endpoints}, destination.Caller{Locality: model.Locality{Region: "eu"}})
			if err != nil {
				t.Fatal(err)
			}
			m, err := made[0].Message()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, g := range m.(*endpointv3.ClusterLoadAssignment).GetEndpoints() { //nolint:forcetypeassert // a failing test is what is wanted
				for _, e := range g.GetLbEndpoints() {
					got = append(got, fmt.Sprintf("%d:%s=%s", g.GetPriority(), e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress(), e.GetHealthStatus()))
				}
			}
			if d := cmp.Diff(test.want, strings.Join(got, " ")); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
