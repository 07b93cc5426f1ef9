// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestIn: which endpoints are in a subset, by what pods say and by where they are.
func TestIn(t *testing.T) {
	pod := model.Endpoint{
		Cluster: "east", Network: "n1", Node: "node-1", Locality: model.Locality{Region: "eu", Zone: "eu-1"},
		Labels: "app=reviews,topology.istio.io/cluster=forged,topology.istio.io/subzone=rack,version=v1",
	}
	gateway := model.Endpoint{Cluster: "east", Network: "n1", Gateway: true, Locality: model.Locality{Region: "eu"}}
	for name, c := range map[string]struct {
		of     model.Endpoint
		subset model.Labels
		want   bool
	}{
		"Everything":        {pod, "", true},
		"Label":             {pod, "version=v1", true},
		"OtherValue":        {pod, "version=v2", false},
		"NoSuchLabel":       {pod, "track=", false},
		"AllOfThem":         {pod, "app=reviews,version=v2", false},
		"Member":            {pod, "topology.istio.io/cluster=east", true},
		"MemberOverLabel":   {pod, "topology.istio.io/cluster=forged", false},
		"Network":           {pod, "topology.istio.io/network=n1", true},
		"Region":            {pod, "topology.kubernetes.io/region=eu,version=v1", true},
		"Zone":              {pod, "topology.kubernetes.io/zone=eu-2", false},
		"LabelWithoutPlace": {pod, "topology.istio.io/subzone=rack", true},
		"Node":              {pod, "kubernetes.io/hostname=node-1", true},
		"Gateway":           {gateway, "", true},
		"GatewayByMember":   {gateway, "topology.istio.io/cluster=east,topology.istio.io/network=n1", true},
		"GatewayOfAnother":  {gateway, "topology.istio.io/cluster=west", false},
		// It stands for several zones, and for pods with all kinds of labels.
		"GatewayByRegion": {gateway, "topology.kubernetes.io/region=eu", false},
		"GatewayByLabel":  {gateway, "version=v1", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.of.In(c.subset); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
