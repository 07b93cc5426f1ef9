// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// Export is what this member offers to others, sorted by namespace and name:
// the services that a ServiceExport names and that exist here, with the
// endpoints of this member only. What was imported is never passed on.
func Export(mesh *model.Mesh) []*model.Export {
	out := []*model.Export{}
	for _, s := range mesh.Services {
		if s.Service.Exported && s.Service.Local && s.Service.Kind != model.ExternalName {
			out = append(out, export(mesh, s))
		}
	}
	slices.SortFunc(out, func(a, b *model.Export) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

func export(mesh *model.Mesh, s model.ServiceState) *model.Export {
	e := &model.Export{
		Namespace:   s.Service.Namespace,
		Name:        s.Service.Name,
		Kind:        s.Service.Kind,
		CreatedUnix: s.Service.ExportedUnix,
	}
	accounts := map[string]bool{}
	for i, p := range s.Service.Ports {
		e.Ports = append(e.Ports, exportPort(mesh, s, p, s.Endpoints[i], accounts))
	}
	slices.SortFunc(e.Ports, func(a, b model.ExportPort) int { return cmp.Compare(a.Number, b.Number) })
	e.ServiceAccounts = slices.Sorted(maps.Keys(accounts))
	return e
}

// exportPort lists the port's endpoints for members of the same network, and
// counts those that can be reached across networks, where only mutual TLS goes.
func exportPort(mesh *model.Mesh, s model.ServiceState, p model.Port, set *model.EndpointSet, accounts map[string]bool) model.ExportPort {
	out := model.ExportPort{Name: p.Name, Number: p.Number, Protocol: p.Protocol}
	zones := map[model.Locality]uint32{}
	for _, e := range set.Endpoints {
		if e.Gateway || e.Draining || e.Cluster != mesh.Settings.Cluster {
			continue
		}
		if wire.CheckPodAddress(e.Address) != nil {
			continue // a hand-written endpoint that means something only here
		}
		account, meshed := accountOf(mesh, s.Service, e)
		if meshed {
			accounts[account] = true
			zones[e.Locality]++
		}
		out.Endpoints = append(out.Endpoints, model.ExportEndpoint{
			Address: e.Address, Port: e.Port, Locality: e.Locality, Hostname: e.Hostname, MTLS: meshed,
		})
	}
	for l, n := range zones {
		out.Zones = append(out.Zones, model.ZoneCount{Locality: l, Ready: n})
	}
	slices.SortFunc(out.Zones, func(a, b model.ZoneCount) int { return compareLocality(a.Locality, b.Locality) })
	return out
}

// accountOf tells the service account behind an endpoint, and whether it can do
// mutual TLS. An endpoint whose identity is not known, or is of another
// namespace, has none that an importer could accept.
func accountOf(mesh *model.Mesh, s *model.Service, e model.Endpoint) (string, bool) {
	namespace, name, _ := strings.Cut(e.Workload, "/")
	w := mesh.Workload(namespace, name)
	if !e.MTLS || w == nil || namespace != s.Namespace || w.ServiceAccount == "" {
		return "", false
	}
	return namespace + "/" + w.ServiceAccount, true
}

func compareLocality(a, b model.Locality) int {
	return cmp.Or(strings.Compare(a.Region, b.Region), strings.Compare(a.Zone, b.Zone), strings.Compare(a.SubZone, b.SubZone))
}
