// SPDX-License-Identifier: Apache-2.0

package eastwest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// standard are the checks by default.
var standard = &model.GatewayChecks{IntervalMillis: 2000, TimeoutMillis: 1000, UnhealthyThreshold: 2, HealthyThreshold: 3}

// remote is a member with gateways at addresses, separated by spaces.
func remote(name, addresses string) *model.Remote {
	r := &model.Remote{Cluster: model.ClusterID(name), TrustDomain: name + ".example"}
	for i, a := range strings.Fields(addresses) {
		r.Gateways = append(r.Gateways, model.GatewayAddress{Address: a, Port: 15443 + uint16(i)})
	}
	return r
}

// TestChecks: who is connected to, by which name, and whose certificate it must show.
func TestChecks(t *testing.T) {
	for name, test := range map[string]struct {
		checks  *model.GatewayChecks
		remotes []*model.Remote
		want    []string
	}{
		"Off":       {nil, []*model.Remote{remote("east", "192.0.2.1")}, nil},
		"NobodyYet": {standard, nil, nil},
		"Members": {standard, []*model.Remote{remote("east", "192.0.2.1 192.0.2.2"), remote("north", "2001:db8::1")}, []string{
			"east at 192.0.2.1:15443 192.0.2.2:15444 of spiffe://east.example/ns/mesh-system/sa/",
			"north at 2001:db8::1:15443 of spiffe://north.example/ns/mesh-system/sa/",
		}},
		// Envoy looks up no names for checks.
		"Names": {standard, []*model.Remote{remote("east", "lb.east.example 192.0.2.2 192.0.2.300"), remote("north", "lb.north.example"), remote("south", "")}, []string{
			"east at 192.0.2.2:15444 of spiffe://east.example/ns/mesh-system/sa/",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := Checks(&model.Mesh{Settings: &model.Settings{RootNamespace: "mesh-system", GatewayChecks: test.checks}, Remotes: test.remotes})
			// It is also how often verdicts are given that there is nothing to tell of.
			if got := spec.GetInterval().AsDuration(); got != 500*time.Millisecond {
				t.Errorf("reports come every %v", got)
			}
			var got []string
			for _, c := range spec.GetClusterHealthChecks() {
				line := c.GetClusterName() + " at"
				for _, l := range c.GetLocalityEndpoints() {
					for _, e := range l.GetEndpoints() {
						at := e.GetAddress().GetSocketAddress()
						line += fmt.Sprintf(" %s:%d", at.GetAddress(), at.GetPortValue())
					}
				}
				for _, m := range c.GetTransportSocketMatches() {
					tls := &tlsv3.UpstreamTlsContext{}
					if err := m.GetTransportSocket().GetTypedConfig().UnmarshalTo(tls); err != nil {
						t.Fatal(err)
					}
					if len(m.GetMatch().GetFields()) > 0 || tls.GetSni() != CheckName {
						t.Errorf("the socket is for %v, by the name %q", m.GetMatch(), tls.GetSni())
					}
					for _, san := range tls.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames() {
						line += " of " + san.GetMatcher().GetPrefix()
					}
				}
				got = append(got, line)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestCheck: a check that fails by its timeout takes an interval in all, and each needs a
// connection of its own.
func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		checks *model.GatewayChecks
		pause  time.Duration
	}{
		"Standard":   {standard, time.Second},
		"Long":       {&model.GatewayChecks{IntervalMillis: 10_000, TimeoutMillis: 300, UnhealthyThreshold: 1, HealthyThreshold: 4}, 9700 * time.Millisecond},
		"NoPause":    {&model.GatewayChecks{IntervalMillis: 1000, TimeoutMillis: 1000}, time.Millisecond},
		"Impossible": {&model.GatewayChecks{IntervalMillis: 1, TimeoutMillis: 1000}, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			c := check(test.checks)
			for field, d := range map[string]time.Duration{
				"interval": c.GetInterval().AsDuration(), "no_traffic_interval": c.GetNoTrafficInterval().AsDuration(),
				"no_traffic_healthy_interval": c.GetNoTrafficHealthyInterval().AsDuration(), "initial_jitter": c.GetInitialJitter().AsDuration(),
			} {
				if d != test.pause {
					t.Errorf("%s is %v, want %v", field, d, test.pause)
				}
			}
			if got := c.GetTimeout().AsDuration(); got != time.Duration(test.checks.TimeoutMillis)*time.Millisecond {
				t.Errorf("timeout is %v", got)
			}
			if c.GetUnhealthyThreshold().GetValue() != test.checks.UnhealthyThreshold || c.GetHealthyThreshold().GetValue() != test.checks.HealthyThreshold {
				t.Errorf("thresholds are %v and %v", c.GetUnhealthyThreshold(), c.GetHealthyThreshold())
			}
			if c.GetReuseConnection().GetValue() || c.GetReuseConnection() == nil {
				t.Error("connections are used again")
			}
			if h := c.GetHttpHealthCheck(); h.GetHost() != CheckName || h.GetPath() != "/check" {
				t.Errorf("it asks for %v", h)
			}
		})
	}
}
