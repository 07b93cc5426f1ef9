// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// toPod are the service's routes for requests that name one of its pods
// ("web-0.web"). The rules hold, as in Istio; where they send to the service
// itself, whatever the subset, it is the pod that gets the request.
func (c Call) toPod(routes []*routev3.Route, pod *corev3.Metadata) []*routev3.Route {
	out := make([]*routev3.Route, len(routes))
	for i, r := range routes {
		out[i] = proto.CloneOf(r)
		action := out[i].GetRoute()
		if whole, ok := c.ownCluster(action.GetCluster()); ok {
			action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: whole}
			action.MetadataMatch = pod
		}
		for _, w := range action.GetWeightedClusters().GetClusters() {
			if whole, ok := c.ownCluster(w.GetName()); ok {
				w.Name, w.MetadataMatch = whole, pod
			}
		}
	}
	return out
}

// ownCluster is the cluster of the whole service in place of one of the service's.
func (c Call) ownCluster(name string) (string, bool) {
	for _, p := range c.Service.Ports {
		whole := envoy.Outbound(p.Number, c.Service.Hostname)
		if name == whole {
			return whole, true
		}
		if before, host, _ := strings.Cut(whole, "||"); strings.HasPrefix(name, before+"|") && strings.HasSuffix(name, "|"+host) {
			return whole, true
		}
	}
	return "", false
}

// podMatch narrows a cluster of a headless service down to a pod.
func podMatch(pod string) *corev3.Metadata {
	return envoy.Metadata(subsetMatch, map[string]string{podHostname: pod})
}
