// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// aliasDepth bounds how many ExternalName services may point at each other.
const aliasDepth = 8

// names is how services share the space of names.
type names struct {
	// others are the ExternalName services that lead to a service.
	others map[*model.Service][]*model.Service
	// external are ExternalName services that lead out of the mesh.
	external map[*model.Service]bool
	// without are domains that a service doesn't get, because another one goes
	// before it and has them.
	without map[*model.Service]map[string]bool
	// owner of each domain but bare names.
	owner map[string]*model.Service
	// yields are the namespaces in which a service, whose hostname is a bare name,
	// isn't called so, because a service of the namespace is; sorted.
	yields map[*model.Service][]string
	// to is what an ExternalName service leads to.
	to map[*model.Service]*model.Service
	// routed are hosts with routings that no service has for itself, and those
	// of ExternalName services; sorted.
	routed []string
}

// resolveNames of services, and of hosts that have routings; both sorted.
func resolveNames(settings *model.Settings, services []model.ServiceState, hosts []string) *names {
	n := &names{
		others:   map[*model.Service][]*model.Service{},
		external: map[*model.Service]bool{},
		without:  map[*model.Service]map[string]bool{},
		owner:    make(map[string]*model.Service, 8*len(services)),
		yields:   map[*model.Service][]string{},
		to:       map[*model.Service]*model.Service{},
	}
	byName := make(map[model.Hostname]*model.Service, len(services))
	for _, st := range services {
		for _, a := range st.Service.Aliases {
			byName[a] = st.Service
		}
	}
	for _, svc := range byRight(services) {
		for _, d := range sidecar.Domains(settings, svc, nil, "") {
			if o := n.owner[d]; o == nil || o == svc {
				n.owner[d] = svc
				continue
			}
			if n.without[svc] == nil {
				n.without[svc] = map[string]bool{}
			}
			n.without[svc][d] = true
		}
	}
	for _, st := range services {
		svc := st.Service
		byName[svc.Hostname] = svc
		if o := n.owner[svc.Name]; o != nil && sidecar.HasBareName(settings, svc) && !slices.Contains(n.yields[o], svc.Namespace) {
			n.yields[o] = append(n.yields[o], svc.Namespace)
			slices.Sort(n.yields[o])
		}
	}
	own := map[*model.Service]bool{}
	for _, h := range hosts {
		switch svc := byName[model.Hostname(h)]; {
		case n.owner[h] == nil:
			n.routed = append(n.routed, h)
		case svc != nil && svc.Kind == model.ExternalName && string(svc.Hostname) == h && pointedAt(byName, svc) != nil:
			n.routed = append(n.routed, h)
			own[svc] = true
		}
	}
	for _, st := range services {
		if st.Service.Kind != model.ExternalName {
			continue
		}
		to := pointedAt(byName, st.Service)
		switch {
		case to == nil:
			n.external[st.Service] = true
		case own[st.Service]:
			n.to[st.Service] = to
		default:
			n.to[st.Service] = to
			n.others[to] = append(n.others[to], st.Service)
		}
	}
	return n
}

// byRight are services in the order in which they get the names and addresses
// that several have: the oldest first.
func byRight(services []model.ServiceState) []*model.Service {
	out := make([]*model.Service, len(services))
	for i, st := range services {
		out[i] = st.Service
	}
	slices.SortStableFunc(out, before)
	return out
}

// before orders Kubernetes' own services before those of ServiceEntries, and then
// the oldest first.
func before(a, b *model.Service) int {
	rank := func(s *model.Service) int {
		if s.Origin.Kind == "ServiceEntry" {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Origin.Older(b.Origin))
}

// taken are the domains of a service's pods that are those of another service:
// pod web of service shop is called "web.shop" in its namespace, as service web
// of namespace shop is everywhere. The service keeps the name.
func (n *names) taken(s *model.Settings, svc *model.Service, pods [][]string) map[string]bool {
	var out map[string]bool
	for _, list := range pods {
		for _, pod := range list {
			for _, d := range sidecar.PodDomains(s, svc, pod, svc.Namespace) {
				if _, routed := slices.BinarySearch(n.routed, d); routed || n.owner[d] != nil {
					if out == nil {
						out = map[string]bool{}
					}
					out[d] = true
				}
			}
		}
	}
	return out
}

// pointedAt is the service of the mesh that an ExternalName leads to; nil when it
// leads out of the mesh, or in a circle.
func pointedAt(byName map[model.Hostname]*model.Service, svc *model.Service) *model.Service {
	for range aliasDepth {
		next := byName[model.Hostname(strings.ToLower(strings.TrimSuffix(svc.ExternalName, ".")))]
		if next == nil || next.Kind != model.ExternalName {
			return next
		}
		svc = next
	}
	return nil
}

// problems are the hosts and addresses that services don't get.
func (n *names) problems(services []model.ServiceState) []model.Problem {
	if len(n.without)+len(n.yields) == 0 {
		return nil
	}
	var out []model.Problem
	for _, st := range services {
		for _, d := range slices.Sorted(maps.Keys(n.without[st.Service])) {
			by := originOf(n.owner[d])
			out = append(out, originOf(st.Service).Problem("", "NameConflict",
				fmt.Sprintf("%s %s/%s goes before it, has %q too and keeps it; change one of them", by.Kind, by.Namespace, by.Name, d)))
		}
		for _, ns := range n.yields[st.Service] {
			out = append(out, originOf(st.Service).Problem("", "NameConflict",
				fmt.Sprintf("in namespace %[1]s, %[2]q is Service %[1]s/%[2]s and stays it; change one of the names", ns, st.Service.Hostname)))
		}
	}
	return out
}
