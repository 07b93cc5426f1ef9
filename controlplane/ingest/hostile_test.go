// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestHostileMember: whatever a member says, it gets no identity outside its
// trust domain and the service's namespace, no address near the caller, no
// weight that Envoy would refuse, and nothing panics.
func TestHostileMember(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom([]string{
		"", "shop", "bank", "west.example", "shop/a", "bank/a", "127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "fe80::1%x",
		"::ffff:127.0.0.1", "gw.example.com", "localhost", "a.svc.cluster.local", "../..", "a/b/c",
	}), rapid.String())
	subset := rapid.Custom(func(t *rapid.T) model.ExportSubset {
		return model.ExportSubset{
			Name: text.Draw(t, "subset"), Labels: model.Labels(text.Draw(t, "labels")), Zones: []model.ZoneCount{{Ready: rapid.Uint32().Draw(t, "ready in it")}},
		}
	})
	port := rapid.Custom(func(t *rapid.T) model.ExportPort {
		return model.ExportPort{
			Name: text.Draw(t, "port name"), Number: rapid.Uint16().Draw(t, "number"), Protocol: model.Protocol(rapid.Uint8().Draw(t, "protocol")),
			Zones:   []model.ZoneCount{{Ready: rapid.Uint32().Draw(t, "ready")}, {Ready: rapid.Uint32().Draw(t, "ready")}},
			Subsets: rapid.SliceOfN(subset, 0, 3).Draw(t, "subsets"),
			Endpoints: []model.ExportEndpoint{{
				Address: text.Draw(t, "address"), Port: rapid.Uint16().Draw(t, "port"), MTLS: true, Hostname: text.Draw(t, "hostname"), Labels: model.Labels(text.Draw(t, "labels")),
			}},
		}
	})
	export := rapid.Custom(func(t *rapid.T) *model.Export {
		return &model.Export{
			Namespace: text.Draw(t, "namespace"), Name: text.Draw(t, "name"), Kind: model.ServiceKind(rapid.Uint8().Draw(t, "kind")),
			Ports: rapid.SliceOfN(port, 0, 4).Draw(t, "ports"), ServiceAccounts: rapid.SliceOfN(text, 0, 4).Draw(t, "accounts"),
			CreatedUnix: rapid.Int64().Draw(t, "created"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		member := model.ImportedMember{
			Cluster: model.ClusterID(text.Draw(t, "cluster")), Network: model.NetworkID(rapid.SampledFrom([]string{"near", "far"}).Draw(t, "network")),
			TrustDomain: text.Draw(t, "trust domain"), Services: rapid.SliceOfN(export, 0, 5).Draw(t, "services"),
			Gateways: []model.GatewayAddress{{Address: text.Draw(t, "gateway"), Port: rapid.Uint16().Draw(t, "gateway port")}, {Address: "192.0.2.1", Port: 15443}},
		}
		mesh := ingest.Build(ingest.Input{
			Imports:  &model.Imports{Members: []model.ImportedMember{member}},
			Settings: model.Settings{Cluster: "east", Network: "near", TrustDomain: "east.example"},
		}, nil).Mesh
		for _, s := range mesh.Services {
			checkImported(t, member, s)
		}
	})
}

func checkImported(t *rapid.T, from model.ImportedMember, s model.ServiceState) {
	prefix := "spiffe://" + from.TrustDomain + "/ns/" + s.Service.Namespace + "/sa/"
	for _, id := range s.Service.Identities {
		if account, ok := strings.CutPrefix(id, prefix); !ok || strings.ContainsAny(account, "/ ") {
			t.Fatalf("identity %q of %s", id, s.Service.Hostname)
		}
	}
	for i, set := range s.Endpoints {
		_ = s.Service.Ports[i].Protocol.String()
		whole := checkEndpoints(t, s.Service, set.Endpoints)
		for _, b := range set.Beyond {
			if part := checkEndpoints(t, s.Service, b.Endpoints); part > whole {
				t.Fatalf("subset %q of %s weighs %d, all of it %d", b.Name, s.Service.Hostname, part, whole)
			}
		}
	}
}

// checkEndpoints and return their weight.
func checkEndpoints(t *rapid.T, svc *model.Service, all []model.Endpoint) (sum uint64) {
	for _, e := range all {
		sum += uint64(e.Weight)
		if ip, err := netip.ParseAddr(e.Address); err == nil &&
			(ip.Unmap().IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "") {
			t.Fatalf("endpoint %s of %s", e.Address, svc.Hostname)
		}
		if e.MTLS && len(svc.Identities) == 0 {
			t.Fatalf("endpoint %s of %s has no identity to be known by", e.Address, svc.Hostname)
		}
		if e.Port == 0 || e.Weight == 0 {
			t.Fatalf("endpoint %s has port %d and weight %d", e.Address, e.Port, e.Weight)
		}
	}
	if sum > 1_000_001 {
		t.Fatalf("weight of %s is %d", svc.Hostname, sum)
	}
	return sum
}
