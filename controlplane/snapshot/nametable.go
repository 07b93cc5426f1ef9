// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	ndsv1 "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// nameTable holds the names that the member's own DNS can't answer: services
// that exist in other members only, and names of the cluster set.
func nameTable(services []model.ServiceState) (*envoy.Resource, error) {
	table := &ndsv1.NameTable{Table: map[string]*ndsv1.NameTable_NameInfo{}}
	for _, st := range services {
		svc := st.Service
		if !onlyMesh(svc) {
			continue
		}
		ips := addresses(st)
		if len(ips) == 0 {
			continue
		}
		if !svc.Local {
			table.Table[string(svc.Hostname)] = &ndsv1.NameTable_NameInfo{
				Ips: ips, Registry: "Kubernetes", Shortname: svc.Name, Namespace: svc.Namespace,
			}
		}
		for _, a := range svc.Aliases {
			table.Table[string(a)] = &ndsv1.NameTable_NameInfo{Ips: ips, Registry: "Kubernetes"}
		}
	}
	return envoy.NewResource("nametable", table)
}

// onlyMesh is true for services that have a name which the member's own DNS
// can't answer.
func onlyMesh(svc *model.Service) bool {
	return svc.Kind != model.ExternalName && (!svc.Local || len(svc.Aliases) > 0)
}

// namesEndpoints is true for a ServiceEntry without addresses: its endpoints may
// be names and sockets, and its host is what the world's DNS says, as in Istio.
func namesEndpoints(svc *model.Service) bool {
	return svc.Origin.Kind == "ServiceEntry" && len(svc.Addresses) == 0
}

// tableEndpoints are the endpoints that the name table depends on: those of
// services without an address of their own.
func tableEndpoints(services []model.ServiceState) []*model.EndpointSet {
	var out []*model.EndpointSet
	for _, st := range services {
		if onlyMesh(st.Service) && len(st.Service.Addresses) == 0 && !namesEndpoints(st.Service) {
			out = append(out, st.Endpoints...)
		}
	}
	return out
}

// addresses that a name is answered with: the service's own, else those of the
// pods behind it that can be reached by address.
func addresses(st model.ServiceState) []string {
	var out []string
	for _, a := range st.Service.Addresses {
		out = append(out, a.String())
	}
	if len(out) > 0 || namesEndpoints(st.Service) {
		return out
	}
	seen := map[string]bool{}
	for _, set := range st.Endpoints {
		for i := range set.Endpoints {
			e := &set.Endpoints[i]
			if !e.Gateway && !e.Draining && !seen[e.Address] {
				seen[e.Address] = true
				out = append(out, e.Address)
			}
		}
	}
	return out
}
