// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"math"
	"net"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// order in which a cluster's endpoints are tried: by priority, then as localities
// share it, whether they come by EDS or stand in the cluster.
func order(s *snapshot.Snapshot, from, name string) (string, error) {
	view := s.View(proxyOf(s, from))
	c, err := clusterOf(view, name)
	if c == nil || err != nil {
		return "there is none\n", err
	}
	load := c.GetLoadAssignment()
	if eds := view.Get(envoy.EndpointType, name); eds != nil && load == nil {
		m, err := eds.Message()
		if err != nil {
			return "", err
		}
		var ok bool
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

// clusterOf a view by its name; nil when there is none.
func clusterOf(view *envoy.View, name string) (*clusterv3.Cluster, error) {
	r := view.Get(envoy.ClusterType, name)
	if r == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	m, err := r.Message()
	if err != nil {
		return nil, err
	}
	c, ok := m.(*clusterv3.Cluster)
	if !ok {
		return nil, fmt.Errorf("%s is a %T", name, m)
	}
	return proto.CloneOf(c), nil
}

// pool is what a policy says in a cluster: all but who is called, and over what TLS.
func pool(s *snapshot.Snapshot, from, name string) (string, error) {
	c, err := clusterOf(s.View(proxyOf(s, from)), name)
	if c == nil || err != nil {
		return "there is none\n", err
	}
	c.Name, c.EdsClusterConfig, c.LoadAssignment, c.TransportSocketMatches, c.TransportSocket = "", nil, nil, nil, nil
	for _, t := range c.GetCircuitBreakers().GetThresholds() {
		for _, v := range []**wrapperspb.UInt32Value{&t.MaxConnections, &t.MaxPendingRequests, &t.MaxRequests, &t.MaxRetries} {
			if (*v).GetValue() == math.MaxUint32 {
				*v = nil
			}
		}
		t.TrackRemaining = false
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(c)
	if err != nil {
		return "", err
	}
	text, err = yaml.JSONToYAML(text)
	return string(text), err
}
