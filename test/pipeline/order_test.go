// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"net"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// order in which a cluster's endpoints are tried: by priority, then as localities
// share it, whether they come by EDS or stand in the cluster.
func order(s *snapshot.Snapshot, from, name string) (string, error) {
	view := s.View(proxyOf(s, from))
	r := view.Get(envoy.ClusterType, name)
	if r == nil {
		return "there is none\n", nil
	}
	m, err := r.Message()
	if err != nil {
		return "", err
	}
	c, ok := m.(*clusterv3.Cluster)
	if !ok {
		return "", fmt.Errorf("%s is a %T", name, m)
	}
	load := c.GetLoadAssignment()
	if eds := view.Get(envoy.EndpointType, name); eds != nil && load == nil {
		if m, err = eds.Message(); err != nil {
			return "", err
		}
		load, ok = m.(*endpointv3.ClusterLoadAssignment)
		if !ok {
			return "", fmt.Errorf("%s is a %T", name, m)
		}
	}
	weighed := c.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil
	var out strings.Builder
	for _, g := range load.GetEndpoints() {
		l := g.GetLocality()
		fmt.Fprintf(&out, "%d %s", g.GetPriority(), strings.Trim(l.GetRegion()+"/"+l.GetZone()+"/"+l.GetSubZone(), "/"))
		if weighed {
			fmt.Fprintf(&out, " weight=%d", g.GetLoadBalancingWeight().GetValue())
		}
		for _, e := range g.GetLbEndpoints() {
			a := e.GetEndpoint().GetAddress().GetSocketAddress()
			fmt.Fprintf(&out, " %s", net.JoinHostPort(a.GetAddress(), fmt.Sprint(a.GetPortValue())))
			if e.GetHealthStatus() == corev3.HealthStatus_DRAINING {
				out.WriteString(" (draining)")
			}
		}
		out.WriteString("\n")
	}
	return out.String(), nil
}
