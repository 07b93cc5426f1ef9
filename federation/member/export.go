// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// Export is what this member offers to others, sorted by namespace and name:
// the services that a ServiceExport names and that exist here, with the
// endpoints of this member only. What was imported is never passed on.
func Export(mesh *model.Mesh) []*model.Export {
	out := []*model.Export{}
	offered, _ := scope.Offered(mesh) // what is wrong with it the gateway's translation tells
	for _, s := range mesh.Services {
		if s.Service.Exported && s.Service.Local && s.Service.Kind != model.ExternalName {
			out = append(out, export(mesh, s, tellable(offered[s.Service])))
		}
	}
	slices.SortFunc(out, func(a, b *model.Export) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

// tellable are the subsets that importers would take: one that they wouldn't
// must not cost them the service.
func tellable(subsets []scope.Subset) []scope.Subset {
	var out []scope.Subset
	for _, s := range subsets {
		if len(out) < wire.MaxSubsets && wire.CheckSubset(s.Name, s.Labels) == nil {
			out = append(out, s)
		}
	}
	return out
}

func export(mesh *model.Mesh, s model.ServiceState, subsets []scope.Subset) *model.Export {
	e := &model.Export{
		Namespace:   s.Service.Namespace,
		Name:        s.Service.Name,
		Kind:        s.Service.Kind,
		CreatedUnix: s.Service.ExportedUnix,
	}
	accounts := map[string]bool{}
	for i, p := range s.Service.Ports {
		e.Ports = append(e.Ports, exportPort(mesh, s, p, s.Endpoints[i], subsets, accounts))
	}
	slices.SortFunc(e.Ports, func(a, b model.ExportPort) int { return cmp.Compare(a.Number, b.Number) })
	e.ServiceAccounts = slices.Sorted(maps.Keys(accounts))
	return e
}

// exportPort lists the port's endpoints for members of the same network, and
// counts those that can be reached across networks, where only mutual TLS goes.
func exportPort(mesh *model.Mesh, s model.ServiceState, p model.Port, set *model.EndpointSet, subsets []scope.Subset, accounts map[string]bool) model.ExportPort {
	out := model.ExportPort{Name: p.Name, Number: p.Number, Protocol: p.Protocol}
	if p.Protocol == model.GRPCWeb {
		// To callers across members it is gRPC; the server's own proxy takes gRPC-Web too.
		out.Protocol = model.GRPC
	}
	zones, within := counts{}, make([]counts, len(subsets))
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
			zones.add(e.Locality)
			for i := range subsets {
				if e.In(subsets[i].Labels) {
					within[i].add(e.Locality)
				}
			}
		}
		out.Endpoints = append(out.Endpoints, model.ExportEndpoint{
			Address: e.Address, Port: e.Port, Locality: e.Locality, Hostname: e.Hostname, MTLS: meshed, Labels: asked(&e, subsets),
		})
	}
	out.Zones = zones.sorted()
	for i, sub := range subsets {
		out.Subsets = append(out.Subsets, model.ExportSubset{Name: sub.Name, Labels: sub.Labels, Zones: within[i].sorted()})
	}
	return out
}

// asked are the labels of an endpoint that some subset asks for.
func asked(e *model.Endpoint, subsets []scope.Subset) model.Labels {
	has := map[string]string{}
	for _, s := range subsets {
		for k := range s.Labels.All() {
			if v, ok := e.Label(k); ok {
				has[k] = v
			}
		}
	}
	labels := model.LabelsOf(has)
	if wire.CheckLabels(labels) != nil {
		return "" // no subset that is told of asks for such
	}
	return labels
}

// counts of ready endpoints in each locality.
type counts map[model.Locality]uint32

func (c *counts) add(l model.Locality) {
	if *c == nil {
		*c = counts{}
	}
	(*c)[l]++
}

func (c counts) sorted() []model.ZoneCount {
	var out []model.ZoneCount
	for l, n := range c {
		out = append(out, model.ZoneCount{Locality: l, Ready: n})
	}
	slices.SortFunc(out, func(a, b model.ZoneCount) int { return compareLocality(a.Locality, b.Locality) })
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
