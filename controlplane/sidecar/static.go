// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// Passthrough is the cluster of connections to hosts that the mesh doesn't
// know: they go where the client meant them to.
func Passthrough(s *model.Settings) (*envoy.Resource, error) {
	c := originalDst(s, envoy.PassthroughCluster)
	c.Metadata = standardmetrics.Named(c.Name)
	speak(c, model.Auto, Reach{})
	return envoy.NewResource(c.Name, c)
}

// BlackHole is the cluster without endpoints.
func BlackHole(s *model.Settings) (*envoy.Resource, error) {
	c := plain(s, envoy.BlackHoleCluster)
	c.Metadata = standardmetrics.Named(c.Name)
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	return envoy.NewResource(c.Name, c)
}

// originalDst is a cluster whose only endpoint is the address that the client
// meant.
func originalDst(s *model.Settings, name string) *clusterv3.Cluster {
	c := plain(s, name)
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	return c
}
