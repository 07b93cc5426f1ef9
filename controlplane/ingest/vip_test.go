// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// imported are services that only another member has, the younger the later.
func imported(n int) []*model.Export {
	var all []*model.Export
	for i := range n {
		all = append(all, &model.Export{
			Namespace: "shop", Name: fmt.Sprintf("svc-%d", i), CreatedUnix: int64(i), ServiceAccounts: []string{"shop/a"},
			Ports: []model.ExportPort{{Number: 80, Protocol: model.HTTP}},
		})
	}
	return all
}

// vips are the addresses by hostname.
func vips(t *testing.T, services []*model.Export) map[model.Hostname]netip.Addr {
	t.Helper()
	result := ingest.Build(ingest.Input{Imports: &model.Imports{Members: []model.ImportedMember{
		{Cluster: "west", Network: "west", TrustDomain: "west.example", Services: services},
	}}, Settings: model.Settings{Cluster: "east"}}, nil)
	all := map[model.Hostname]netip.Addr{}
	for _, s := range result.Mesh.Services {
		if len(s.Service.Addresses) != 1 {
			t.Fatalf("%s has addresses %v", s.Service.Hostname, s.Service.Addresses)
		}
		all[s.Service.Hostname] = s.Service.Addresses[0]
	}
	return all
}

// TestVIPs: of 3,000 names some seventy meet in one place.
func TestVIPs(t *testing.T) {
	services := imported(3000)
	all := vips(t, services)
	taken := map[netip.Addr]model.Hostname{}
	within := netip.MustParsePrefix("240.240.0.0/16")
	for name, ip := range all {
		if other, ok := taken[ip]; ok {
			t.Errorf("%s and %s have the same address %s", name, other, ip)
		}
		taken[ip] = name
		if last := ip.As4(); !within.Contains(ip) || last[2] == 0 && last[3] == 0 || last[2] == 255 && last[3] == 255 {
			t.Errorf("%s has address %s", name, ip)
		}
	}
	reversed := slices.Clone(services)
	slices.Reverse(reversed)
	comparable := cmpopts.EquateComparable(netip.Addr{})
	if diff := cmp.Diff(all, vips(t, reversed), comparable); diff != "" {
		t.Errorf("the order decides addresses (-first +reversed):\n%s", diff)
	}
	for name, ip := range vips(t, services[:1500]) {
		if all[name] != ip {
			t.Errorf("younger services moved %s from %s to %s", name, ip, all[name])
		}
	}
}
