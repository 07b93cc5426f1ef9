// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Caller is from where endpoints are looked at.
type Caller struct {
	Locality model.Locality
	// Labels of the calling workload, with its node's name as NodeLabel; the other
	// topology labels may be left out.
	Labels  model.Labels
	Cluster model.ClusterID
	Network model.NetworkID
}

// istio is the balancing of a mesh that says nothing; read only.
var istio = &model.LocalityBalancing{}

// said is what a target's policy, else the mesh, says of localities; nil for nothing.
func said(t Target) *model.LocalityBalancing {
	if p := t.PortPolicy(); p != nil && p.Balancer != nil && p.Balancer.Locality != nil {
		return p.Balancer.Locality
	}
	return t.Settings.LocalityBalancing
}

// Localities is the locality balancing in force on a target: its policy's, else
// the mesh's; nil when the order of endpoints is the translator's own. Failover
// takes outlier detection, without which Envoy never finds an endpoint ill; zones
// of a region are told apart without.
func Localities(t Target) *model.LocalityBalancing {
	l, p := said(t), t.PortPolicy()
	if l == nil {
		l = istio
	}
	if l.Disabled || len(l.Distribute) == 0 && l.Zones == nil && (p == nil || p.Outliers == nil) {
		return nil
	}
	return l
}

// weighLocalities makes Envoy look at the weights of localities, or at the sizes of zones.
func weighLocalities(c *clusterv3.Cluster, t Target) {
	if l := said(t); l != nil && l.Zones != nil && c.GetType() != clusterv3.Cluster_ORIGINAL_DST {
		zones := &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig{}
		if l.Zones.MinimumHosts != nil {
			zones.MinClusterSize = wrapperspb.UInt64(uint64(*l.Zones.MinimumHosts))
		}
		if l.Disabled {
			zones.RoutingEnabled = &typev3.Percent{}
		}
		common(c).LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig_{ZoneAwareLbConfig: zones}
		return
	}
	if l := Localities(t); l != nil && len(l.Distribute) > 0 && c.GetType() != clusterv3.Cluster_ORIGINAL_DST {
		common(c).LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
			LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
		}
	}
}

// Priorities of endpoints as a caller is to try them, numbered from 0 without
// gaps. base is the order that the translator gives without a policy: it decides
// among endpoints that the policy finds equal, but not where traffic is
// distributed by weight. Draining endpoints stay last.
func Priorities(l *model.LocalityBalancing, from Caller, endpoints []model.Endpoint, base []uint32) []uint32 {
	if l == nil {
		return base
	}
	keys := make([][3]int, len(endpoints))
	distributed := shares(l, from.Locality) != nil
	for i := range endpoints {
		e := &endpoints[i]
		if e.Draining {
			keys[i][0] = 1
		}
		switch {
		case distributed:
			continue
		case len(l.Distribute) > 0:
			// Nothing is said for callers here.
		case l.Zones != nil:
			// All of the region is one, whatever the translator makes of it.
			keys[i][1] = unlike(l.FailoverPriority, from, e)*(farthest+1) + abroad(l.Failover, from.Locality, e.Locality)
			continue
		case len(l.FailoverPriority) > 0:
			keys[i][1] = unlike(l.FailoverPriority, from, e)*(farthest+1) + regional(l.Failover, from.Locality, e.Locality)
		default:
			keys[i][1] = apart(l.Failover, from.Locality, e.Locality)
		}
		keys[i][2] = int(base[i])
	}
	order := slices.Clone(keys)
	slices.SortFunc(order, compareKeys)
	order = slices.Compact(order)
	out := make([]uint32, len(endpoints))
	for i, k := range keys {
		at, _ := slices.BinarySearchFunc(order, k, compareKeys)
		out[i] = uint32(at)
	}
	return out
}

func compareKeys(a, b [3]int) int { return slices.Compare(a[:], b[:]) }

// farthest is the greatest distance that apart knows.
const farthest = 4

// apart is how far an endpoint is: 0 in the same subzone, 1 in the zone, 2 in
// the region, 3 in the region to which the caller's fails over, or in any when
// none is named for it, 4 elsewhere.
func apart(failover []model.Failover, from, to model.Locality) int {
	switch {
	case from == to:
		return 0
	case from.Region == to.Region && from.Zone == to.Zone:
		return 1
	case from.Region == to.Region:
		return 2
	}
	for _, f := range failover {
		if f.From == from.Region && f.To != to.Region {
			return farthest
		}
		if f.From == from.Region {
			break
		}
	}
	return 3
}

// abroad is how far a region is: 0 for the caller's, 1 for the one to which that
// fails over, 2 for others.
func abroad(failover []model.Failover, from, to model.Locality) int {
	switch {
	case from.Region == to.Region:
		return 0
	case slices.Contains(failover, model.Failover{From: from.Region, To: to.Region}):
		return 1
	}
	return 2
}

// regional is apart where a failover between regions is said beside labels.
func regional(failover []model.Failover, from, to model.Locality) int {
	if len(failover) == 0 {
		return 0
	}
	return apart(failover, from, to)
}

// unlike counts the labels that an endpoint doesn't share with the caller,
// from the first one on that it doesn't.
func unlike(keys []string, from Caller, e *model.Endpoint) int {
	for i, k := range keys {
		key, want, written := strings.Cut(k, "=")
		if !written {
			want = label(key, from.Labels, from.Locality, from.Cluster, from.Network)
		}
		if key == model.NodeLabel && e.Node != "" {
			if e.Node != want {
				return len(keys) - i
			}
			continue
		}
		if label(key, e.Labels, e.Locality, e.Cluster, e.Network) != want {
			return len(keys) - i
		}
	}
	return 0
}

// label of a caller or an endpoint; topology is known without labels.
func label(key string, labels model.Labels, at model.Locality, cluster model.ClusterID, network model.NetworkID) string {
	switch key {
	case "topology.istio.io/network":
		return string(network)
	case "topology.istio.io/cluster":
		return string(cluster)
	case "topology.kubernetes.io/region":
		return at.Region
	case "topology.kubernetes.io/zone":
		return at.Zone
	case "topology.istio.io/subzone":
		return at.SubZone
	}
	v, _ := labels.Get(key)
	return v
}
