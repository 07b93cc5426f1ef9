// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// mesh puts the parts together; the last mesh itself when nothing changed.
func (b *build) mesh() *model.Mesh {
	last, n := b.prev.Mesh, b.next
	next := &model.Mesh{
		Settings:  n.settings.Settings,
		Services:  b.services(),
		Workloads: last.Workloads, Problems: last.Problems,
	}
	b.readConfiguration(next.Services)
	n.configuration.place(last, next)
	next.Credentials = b.in.Credentials
	next.Remotes = n.imports.remotes
	if len(b.changedPods)+len(b.retargeted) > 0 || b.problemsMoved {
		next.Workloads = shared(last.Workloads, n.workloads())
	}
	if b.problemsMoved || len(b.changedPods)+len(b.retargeted) > 0 {
		next.Problems = shared(last.Problems, n.problems())
	}
	if keep.Same(*last, *next) {
		return last
	}
	return next
}

// services are those of the cluster, of other members and of entries.
func (b *build) services() []model.ServiceState {
	n := b.next
	n.local = patch(b.prev.local, b.gone, b.now)
	old := b.prev.entries
	if old != nil && sameSlice(b.prev.local, n.local) && sameSlice(old.Services, n.entries.Services) {
		return b.prev.Mesh.Services
	}
	return withEntries(b.prev.Mesh.Services, n.local, n.entries.Services)
}

// shared returns old when now holds the same.
func shared[T comparable](old, now []T) []T {
	if slices.Equal(old, now) {
		return old
	}
	return now
}

// patch returns sorted services without the gone ones and with those that are
// new or other than before.
func patch(services []model.ServiceState, gone []model.Hostname, now []model.ServiceState) []model.ServiceState {
	if len(gone)+len(now) == 0 {
		return services
	}
	slices.Sort(gone)
	slices.SortFunc(now, func(a, b model.ServiceState) int {
		return strings.Compare(string(a.Service.Hostname), string(b.Service.Hostname))
	})
	patched := make([]model.ServiceState, 0, len(services)+len(now)-len(gone))
	for len(gone)+len(now) > 0 {
		h, leaves := earlier(gone, now)
		i, there := slices.BinarySearchFunc(services, h, func(s model.ServiceState, h model.Hostname) int {
			return strings.Compare(string(s.Service.Hostname), string(h))
		})
		patched = append(patched, services[:i]...)
		services = services[i:]
		if there {
			services = services[1:]
		}
		if leaves {
			gone = gone[1:]
		}
		if len(now) > 0 && now[0].Service.Hostname == h {
			patched = append(patched, now[0])
			now = now[1:]
		}
	}
	return append(patched, services...)
}

// earlier is the first hostname of both lists, and whether it is among the gone.
func earlier(gone []model.Hostname, now []model.ServiceState) (model.Hostname, bool) {
	switch {
	case len(gone) == 0:
		return now[0].Service.Hostname, false
	case len(now) == 0 || gone[0] <= now[0].Service.Hostname:
		return gone[0], true
	}
	return now[0].Service.Hostname, false
}

func (r *Result) workloads() []*model.Workload {
	all := make([]*model.Workload, 0, len(r.podRows))
	for _, row := range r.podRows {
		if row.workload != nil {
			all = append(all, row.workload)
		}
	}
	all, r.clashes = withMachines(all, r.entries.Workloads)
	return all
}

// tableProblems are the objects that share a key.
func (r *Result) tableProblems() []model.Problem {
	return slices.Concat(r.services.problems, r.slices.problems, r.pods.problems, r.nodes.problems,
		r.namespaces.problems, r.policies.problems, r.exports.problems, slices.Concat(r.custom.problems...), r.custom.inert())
}

// problems of all parts, sorted.
func (r *Result) problems() []model.Problem {
	all := slices.Concat(r.tableProblems(), r.settings.problems, r.rules.problems, r.imports.problems, r.configuration.problems(), r.entries.Problems, r.clashes)
	for _, row := range r.rows {
		all = append(all, row.problems...)
	}
	for _, row := range r.podRows {
		all = append(all, row.problems...)
		if row.facts != nil {
			all = append(all, row.facts.problems...)
		}
	}
	return ordered(all)
}
