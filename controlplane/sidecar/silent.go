// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// silent marks the endpoints that get nothing because another one answers:
// gateways that don't. It is nil when there are none, and when nobody else is
// left but who terminates: whoever checks may be wrong, so then all are tried.
func silent(set *model.EndpointSet) []bool {
	some, others := false, false
	out := make([]bool, len(set.Endpoints))
	for i := range set.Endpoints {
		e := &set.Endpoints[i]
		out[i] = e.Unreached
		some = some || e.Unreached
		others = others || !e.Unreached && !e.Draining
	}
	if !some || !others {
		return nil
	}
	return out
}

// postponed puts endpoints that don't answer behind all others: at a distance
// of their own, so that they don't count where Envoy asks how many of a distance
// are healthy. Distances stay numbered from 0.
func postponed(priority []uint32, silent []bool) []uint32 {
	if silent == nil {
		return priority
	}
	var occurs []uint32
	for i, p := range priority {
		if !silent[i] {
			occurs = append(occurs, p)
		}
	}
	slices.Sort(occurs)
	occurs = slices.Compact(occurs)
	out := make([]uint32, len(priority))
	for i, p := range priority {
		at, _ := slices.BinarySearch(occurs, p)
		if silent[i] {
			at = len(occurs)
		}
		out[i] = uint32(at)
	}
	return out
}

// answered is true when somebody is left who may be called.
func answered(a *endpointv3.ClusterLoadAssignment) bool {
	return slices.ContainsFunc(a.Endpoints, func(g *endpointv3.LocalityLbEndpoints) bool {
		return slices.ContainsFunc(g.LbEndpoints, func(e *endpointv3.LbEndpoint) bool { return e.HealthStatus == corev3.HealthStatus_UNKNOWN })
	})
}
