// SPDX-License-Identifier: Apache-2.0

package destination_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
	"github.com/isthmesh/isthmesh/test/generate"
)

func at(place string) model.Locality {
	parts := append(strings.Split(place, "/"), "", "")
	return model.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
}

var places = []string{"eu/1/a", "eu/1/b", "eu/2", "us/1", "asia/1"}

func endpoints() []model.Endpoint {
	var out []model.Endpoint
	for i, p := range places {
		out = append(out, model.Endpoint{Locality: at(p), Cluster: []model.ClusterID{"here", "there"}[i%2], Network: "n1", Node: fmt.Sprintf("node-%d", i), Labels: []model.Labels{"version=v1", "version=v2"}[i%2]})
	}
	return append(out, model.Endpoint{Locality: at("eu/1/a"), Cluster: "here", Draining: true})
}

func TestPriorities(t *testing.T) {
	from := destination.Caller{Locality: at("eu/1/a"), Labels: "kubernetes.io/hostname=node-1,version=v1", Cluster: "here", Network: "n2"}
	for name, c := range map[string]struct {
		balancing *model.LocalityBalancing
		base      []uint32
		want      []uint32
	}{
		"NoneKeepsTheOrder":      {nil, []uint32{0, 1, 0, 1, 0, 2}, []uint32{0, 1, 0, 1, 0, 2}},
		"NearestFirst":           {&model.LocalityBalancing{}, []uint32{0, 0, 0, 0, 0, 1}, []uint32{0, 1, 2, 3, 3, 4}},
		"OwnMemberAmongEquals":   {&model.LocalityBalancing{}, []uint32{0, 1, 0, 1, 0, 2}, []uint32{0, 1, 2, 4, 3, 5}},
		"FailsOverToAsia":        {&model.LocalityBalancing{Failover: []model.Failover{{From: "eu", To: "asia"}}}, []uint32{0, 0, 0, 0, 0, 1}, []uint32{0, 1, 2, 4, 3, 5}},
		"FailoverOfOtherRegions": {&model.LocalityBalancing{Failover: []model.Failover{{From: "us", To: "asia"}}}, []uint32{0, 0, 0, 0, 0, 1}, []uint32{0, 1, 2, 3, 3, 4}},
		"ByLabel":                {&model.LocalityBalancing{FailoverPriority: []string{"version"}}, []uint32{0, 0, 0, 0, 0, 1}, []uint32{0, 1, 0, 1, 0, 2}},
		"ByLabelWrittenOut":      {&model.LocalityBalancing{FailoverPriority: []string{"version=v2"}}, []uint32{0, 0, 0, 0, 0, 1}, []uint32{1, 0, 1, 0, 1, 2}},
		"FirstLabelsCount": {
			&model.LocalityBalancing{FailoverPriority: []string{"topology.kubernetes.io/region", "topology.istio.io/network", "topology.kubernetes.io/zone"}},
			[]uint32{0, 0, 0, 0, 0, 1},
			[]uint32{0, 0, 0, 1, 1, 2},
		},
		"ClusterThenRegion": {
			&model.LocalityBalancing{FailoverPriority: []string{"topology.istio.io/cluster=there", "topology.kubernetes.io/region"}},
			[]uint32{0, 0, 0, 0, 0, 1},
			[]uint32{2, 0, 2, 1, 2, 3},
		},
		"RegionsApart":            {&model.LocalityBalancing{Zones: &model.ZoneBalancing{}}, []uint32{0, 1, 0, 1, 0, 2}, []uint32{0, 0, 0, 1, 1, 2}},
		"RegionsInOrder":          {&model.LocalityBalancing{Zones: &model.ZoneBalancing{}, Failover: []model.Failover{{From: "eu", To: "asia"}}}, []uint32{0, 1, 0, 1, 0, 2}, []uint32{0, 0, 0, 2, 1, 3}},
		"LabelsBeforeRegions":     {&model.LocalityBalancing{Zones: &model.ZoneBalancing{}, FailoverPriority: []string{"version"}}, []uint32{0, 1, 0, 1, 0, 2}, []uint32{0, 2, 0, 3, 1, 4}},
		"ByNode":                  {&model.LocalityBalancing{FailoverPriority: []string{"kubernetes.io/hostname"}}, []uint32{0, 0, 0, 0, 0, 1}, []uint32{1, 0, 1, 1, 1, 2}},
		"DistributedKnowsNoOrder": {&model.LocalityBalancing{Distribute: []model.Distribute{{From: "eu/*", To: []model.LocalityWeight{{Locality: "*", Weight: 100}}}}}, []uint32{0, 1, 0, 1, 0, 2}, []uint32{0, 0, 0, 0, 0, 1}},
		"DistributedForOthers":    {&model.LocalityBalancing{Distribute: []model.Distribute{{From: "us/*"}}}, []uint32{0, 1, 0, 1, 0, 2}, []uint32{0, 1, 0, 1, 0, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, destination.Priorities(c.balancing, from, endpoints(), c.base)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	var localities []model.Locality
	for _, p := range places {
		localities = append(localities, at(p))
	}
	sums := []uint32{1, 3, 2, 5, 7}
	for name, c := range map[string]struct {
		from string
		want []uint32
		ok   bool
	}{
		"Shared":  {"eu/1/a", []uint32{200000, 600000, 0, 200000, 0}, true},
		"Nothing": {"asia/1", sums, false},
		// The pattern that says more goes first, whatever the order.
		"Specific": {"us/1", []uint32{100000, 450000, 300000, 150000, 0}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := &model.LocalityBalancing{Distribute: []model.Distribute{
				{From: "eu/1/*", To: []model.LocalityWeight{{Locality: "eu/1/*", Weight: 80}, {Locality: "us/1", Weight: 20}}},
				{From: "us", To: []model.LocalityWeight{{Locality: "eu/*", Weight: 75}, {Locality: "eu/1/a", Weight: 10}, {Locality: "us/*", Weight: 15}, {Locality: "asia/*", Weight: 0}}},
			}}
			got, ok := destination.Weights(l, at(c.from), localities, sums)
			if d := cmp.Diff(c.want, got); d != "" || ok != c.ok {
				t.Errorf("%v (-want +got):\n%s", ok, d)
			}
		})
	}
}

func TestLocalities(t *testing.T) {
	own := &model.LocalityBalancing{Failover: []model.Failover{{From: "a", To: "b"}}}
	shares := &model.LocalityBalancing{Distribute: []model.Distribute{{From: "*"}}}
	outliers := &model.OutlierDetection{}
	for name, c := range map[string]struct {
		mesh   *model.LocalityBalancing
		policy model.PortPolicy
		want   *model.LocalityBalancing
	}{
		"Nothing":                 {},
		"OutliersMakeFailover":    {policy: model.PortPolicy{Outliers: outliers}, want: &model.LocalityBalancing{}},
		"TheMeshs":                {mesh: own, policy: model.PortPolicy{Outliers: outliers}, want: own},
		"ItsOwn":                  {mesh: &model.LocalityBalancing{Disabled: true}, policy: model.PortPolicy{Outliers: outliers, Balancer: &model.Balancer{Locality: own}}, want: own},
		"FailoverWithoutOutliers": {policy: model.PortPolicy{Balancer: &model.Balancer{Locality: own}}},
		"SharesWithoutOutliers":   {mesh: shares, want: shares},
		"TurnedOff":               {mesh: own, policy: model.PortPolicy{Outliers: outliers, Balancer: &model.Balancer{Locality: &model.LocalityBalancing{Disabled: true}}}},
		"TurnedOffInTheWholeMesh": {mesh: &model.LocalityBalancing{Disabled: true}, policy: model.PortPolicy{Outliers: outliers}},
	} {
		t.Run(name, func(t *testing.T) {
			target := destination.Target{
				Settings: &model.Settings{LocalityBalancing: c.mesh}, Service: &model.Service{Ports: []model.Port{{Number: 80}}},
				Policy: &model.DestinationPolicy{Policy: of(c.policy)},
			}
			if d := cmp.Diff(c.want, destination.Localities(target)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestAnyLocalities: priorities have no gaps, and draining endpoints are last.
func TestAnyLocalities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := generate.Localities(t)
		from := destination.Caller{Locality: at(rapid.SampledFrom(append(places, "")).Draw(t, "from"))}
		list := endpoints()
		got := destination.Priorities(&l, from, list, make([]uint32, len(list)))
		seen := map[uint32]bool{}
		highest := uint32(0)
		for i, p := range got {
			seen[p] = true
			highest = max(highest, p)
			if !list[i].Draining && p >= got[len(got)-1] {
				t.Fatalf("endpoint %d comes after one that drains: %v", i, got)
			}
		}
		if len(seen) != int(highest)+1 {
			t.Fatalf("gaps: %v", got)
		}
		destination.Weights(&l, from.Locality, []model.Locality{{}, at("eu/1")}, []uint32{0, 1 << 31})
	})
}
