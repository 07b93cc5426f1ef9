// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"net/netip"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var settings = &model.Settings{Cluster: "west", DomainSuffix: "cluster.local", AutoMTLS: true}

func TestPriorities(t *testing.T) {
	at := func(cluster model.ClusterID, region, zone string) model.Endpoint {
		return model.Endpoint{Cluster: cluster, Locality: model.Locality{Region: region, Zone: zone}}
	}
	draining := at("west", "eu", "eu-1")
	draining.Draining = true
	all := []model.Endpoint{
		at("west", "eu", "eu-1"), at("west", "eu", "eu-2"), at("west", "us", "us-1"), at("west", "", ""),
		at("east", "eu", "eu-1"), at("east", "eu", "eu-2"), at("east", "us", "us-1"), at("east", "", ""), draining,
	}
	here := model.Locality{Region: "eu", Zone: "eu-1"}
	for name, c := range map[string]struct {
		close     bool
		from      model.Locality
		endpoints []model.Endpoint
		want      []uint32
	}{
		"MembersByRegion":     {false, here, all, []uint32{0, 0, 0, 0, 1, 1, 2, 2, 3}},
		"CallerKnowsNothing":  {false, model.Locality{}, all, []uint32{0, 0, 0, 0, 1, 1, 1, 1, 2}},
		"Close":               {true, here, all, []uint32{0, 1, 2, 2, 3, 4, 5, 5, 6}},
		"CloseKnowsNothing":   {true, model.Locality{}, all, []uint32{0, 0, 0, 0, 1, 1, 1, 1, 2}},
		"LevelsWithoutAnyone": {true, here, []model.Endpoint{all[2], all[5]}, []uint32{0, 1}},
		"OnlyOthers":          {false, here, all[6:8], []uint32{0, 0}},
		"OnlyTerminating":     {false, here, []model.Endpoint{draining}, []uint32{0}},
		"Nobody":              {false, here, nil, []uint32{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := priorities(settings, &model.Service{PreferClose: c.close}, &model.EndpointSet{Endpoints: c.endpoints}, c.from)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestLocalityMatters: whoever says that it doesn't must be right.
func TestLocalityMatters(t *testing.T) {
	svc := &model.Service{Hostname: "a.b.svc.cluster.local", Ports: []model.Port{{Number: 80}}}
	closeBy := *svc
	closeBy.PreferClose = true
	sets := map[string]*model.EndpointSet{
		"Own":         {Endpoints: []model.Endpoint{{Address: "10.0.0.1", Cluster: "west", Locality: model.Locality{Region: "eu"}}}},
		"Unknown":     {Endpoints: []model.Endpoint{{Address: "10.0.0.1", Cluster: "west"}, {Address: "192.0.2.1", Cluster: "east", Gateway: true}}},
		"Others":      {Endpoints: []model.Endpoint{{Address: "192.0.2.1", Cluster: "east", Locality: model.Locality{Region: "eu"}}, {Address: "192.0.2.2", Cluster: "east"}}},
		"Terminating": {Endpoints: []model.Endpoint{{Address: "192.0.2.1", Cluster: "east", Draining: true, Locality: model.Locality{Region: "eu"}}}},
	}
	matters := map[string][2]bool{"Own": {false, true}, "Unknown": {false, false}, "Others": {true, true}, "Terminating": {false, false}}
	for name, set := range sets {
		for i, svc := range []*model.Service{svc, &closeBy} {
			if got := LocalityMatters(settings, svc, set); got != matters[name][i] {
				t.Errorf("%s, PreferClose %v: %v", name, svc.PreferClose, got)
			}
			versions := map[string]bool{}
			for _, from := range []model.Locality{{}, {Region: "eu"}, {Region: "eu", Zone: "eu-1"}, {Region: "us"}} {
				r, err := Endpoints(settings, svc, 0, set, from)
				if err != nil {
					t.Fatal(err)
				}
				versions[r.Version] = true
			}
			if len(versions) > 1 && !matters[name][i] {
				t.Errorf("%s, PreferClose %v: differs from place to place", name, svc.PreferClose)
			}
		}
	}
}

func TestDomains(t *testing.T) {
	svc := &model.Service{
		Hostname: "reviews.shop.svc.cluster.local", Name: "reviews", Namespace: "shop",
		Aliases:   []model.Hostname{"reviews.shop.svc.clusterset.local"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00::1")},
	}
	old := &model.Service{Hostname: "old.bank.svc.cluster.local", Name: "old", Namespace: "bank", Kind: model.ExternalName}
	foreign := &model.Service{Hostname: "api.example.com", Name: "api", Namespace: "shop"}
	for name, c := range map[string]struct {
		svc       *model.Service
		namespace string
		want      string
	}{
		"Same": {svc, "shop", "reviews.shop.svc.cluster.local reviews.shop.svc.cluster.local. reviews.shop reviews.shop.svc reviews " +
			"reviews.shop.svc.clusterset.local 10.96.0.1 [fd00::1] old.bank.svc.cluster.local old.bank.svc.cluster.local. old.bank old.bank.svc"},
		"Alias": {svc, "bank", "reviews.shop.svc.cluster.local reviews.shop.svc.cluster.local. reviews.shop reviews.shop.svc " +
			"reviews.shop.svc.clusterset.local 10.96.0.1 [fd00::1] old.bank.svc.cluster.local old.bank.svc.cluster.local. old.bank old.bank.svc old"},
		"NotOfKubernetes": {foreign, "shop", "api.example.com api.example.com."},
	} {
		t.Run(name, func(t *testing.T) {
			var others []*model.Service
			if c.svc == svc {
				others = append(others, old)
			}
			if d := cmp.Diff(strings.Fields(c.want), Domains(settings, c.svc, others, c.namespace)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestPortRoutesAreWellFormed: what is put together of encoded parts is what
// Envoy would be given in one piece.
func TestPortRoutesAreWellFormed(t *testing.T) {
	svc := &model.Service{Hostname: "a.b.svc.cluster.local", Name: "a", Namespace: "b", Ports: []model.Port{{Number: 80, Protocol: model.HTTP}}}
	var parts [][]byte
	for range 2 {
		p, err := Call{Settings: settings, Service: svc}.VirtualHosts(nil, 0, nil, []string{"a-0"}, "b", map[string]bool{"a.b": true})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	r, err := PortRoutes(settings, 80, parts, false)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	routes := m.(*routev3.RouteConfiguration) //nolint:forcetypeassert // a failing test is what is wanted
	if n := len(routes.GetVirtualHosts()); n != 5 {
		t.Errorf("%d virtual hosts, want two for each part and one for unknown hosts", n)
	}
	if routes.GetName() != "80" || !routes.GetIgnorePortInHostMatching() || routes.GetValidateClusters().GetValue() {
		t.Error("the configuration lost its own fields")
	}
	if d := routes.GetVirtualHosts()[0].GetDomains(); len(d) != 4 {
		t.Errorf("domains %v, want those of the service without the one that another has", d)
	}
	again, err := envoy.NewResource("80", routes)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := again.Message()
	if err != nil || !proto.Equal(whole, m) {
		t.Errorf("put together it is something else: %v", err)
	}
}

// TestClusterDependsOnReachOnly: endpoints that come and go leave it alone.
func TestClusterDependsOnReachOnly(t *testing.T) {
	svc := &model.Service{Hostname: "a.b.svc.cluster.local", Ports: []model.Port{{Number: 80, Protocol: model.HTTP}}}
	for gateways, want := range map[bool]uint32{false: 0, true: requestsPerConnection} {
		list, _, err := Call{Settings: settings, Service: svc}.Clusters(0, Reach{Gateways: gateways}, destination.Caller{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := list[0].Message()
		if err != nil {
			t.Fatal(err)
		}
		c := m.(*clusterv3.Cluster) //nolint:forcetypeassert // a failing test is what is wanted
		text := c.GetTypedExtensionProtocolOptions()[httpOptions].String()
		if strings.Contains(text, "max_requests_per_connection") != (want > 0) {
			t.Errorf("gateways %v: %s", gateways, text)
		}
	}
}
