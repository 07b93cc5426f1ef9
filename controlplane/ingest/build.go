// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/entries"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Build makes the mesh of in. Prev is the last result, or nil; it decides what
// Build costs and which pointers are shared, never what the mesh says. (One
// exception: while MeshConfig is malformed, the last good one holds.)
func Build(in Input, prev *Result) *Result {
	if prev == nil {
		prev = &Result{Mesh: &model.Mesh{}}
	}
	b := &build{in: &in, prev: prev, next: &Result{}, pending: map[key]*sources{}}
	b.readSettings()
	b.readObjects()
	b.readShared()
	b.readEntries()
	b.readPods()
	b.buildServices()
	b.buildEntries()
	b.buildWorkloads()
	b.next.Mesh = b.mesh()
	return b.next
}

// build is one run of Build.
type build struct {
	in         *Input
	prev, next *Result
	// pending are the sources of the services that must be built again.
	pending map[key]*sources
	// movedNodes have another locality than before.
	movedNodes map[string]bool
	// stalePods: what every pod leans on has changed.
	stalePods bool
	// changedPods have other facts than before; retargeted ones get other traffic.
	changedPods, retargeted []key
	// gone are the hostnames of services that changed or left, now are those
	// that changed or came.
	gone []model.Hostname
	now  []model.ServiceState
	// problemsMoved: something that changed has, or had, a Problem.
	problemsMoved bool
}

// pend returns the sources of a key, which is built again.
func (b *build) pend(k key) *sources {
	if s := b.pending[k]; s != nil {
		return s
	}
	s := &sources{}
	if row := b.prev.rows.find(k); row != nil {
		*s = row.sources
		s.slices = slices.Clone(s.slices)
	}
	b.pending[k] = s
	return s
}

func (b *build) pendAll(rows serviceRows) {
	for _, row := range rows {
		b.pend(row.key)
	}
}

// readSettings reads the mesh's options first: they say which namespaces it is
// made of.
func (b *build) readSettings() {
	p, n := b.prev, b.next
	n.namespaces, _ = p.namespaces.next(kindNamespace, b.in.Namespaces)
	n.settings = nextSettings(b.in, n.namespaces.rows, p.settings)
	b.in, n.narrowing = discover(n.settings, n.namespaces.rows).of(b.in, p.narrowing)
}

// readObjects finds the objects that changed and the services that they bear on.
func (b *build) readObjects() {
	p, n := b.prev, b.next
	services, serviceChanges := p.services.next(kindService, b.in.Services)
	for _, c := range serviceChanges {
		b.pend(keyOf(either(c))).service = c.new
	}
	endpoints, sliceChanges := p.slices.next(kindEndpointSlice, b.in.EndpointSlices)
	for _, c := range sliceChanges {
		b.replaceSlice(c)
	}
	exports, exportChanges := p.exports.next(kindServiceExport, b.in.ServiceExports)
	for _, c := range exportChanges {
		b.pend(keyOf(either(c))).export = c.new
	}
	nodes, nodeChanges := p.nodes.next(kindNode, b.in.Nodes)
	for _, c := range nodeChanges {
		if nodeLocality(c.old) != nodeLocality(c.new) {
			b.moveNode(either(c).Name)
		}
	}
	n.services, n.slices, n.exports, n.nodes = services, endpoints, exports, nodes
	n.policies, _ = p.policies.next(kindPeerAuthentication, b.in.PeerAuthentications)
	n.pods, _ = p.pods.next(kindPod, b.in.Pods)
	n.custom = p.custom.next(b.in)
}

// either is the object of a change: the new one, or the old one that is gone.
func either[T object](c change[T]) T {
	var none T
	if c.new != none {
		return c.new
	}
	return c.old
}

func (b *build) moveNode(name string) {
	if b.movedNodes == nil {
		b.movedNodes = map[string]bool{}
	}
	b.movedNodes[name] = true
}

// replaceSlice puts a slice where the service is that its label names. Slices
// without that label belong to nobody.
func (b *build) replaceSlice(c change[*discoveryv1.EndpointSlice]) {
	find := func(s *sources, o *discoveryv1.EndpointSlice) (int, bool) {
		return slices.BinarySearchFunc(s.slices, keyOf(o), func(o *discoveryv1.EndpointSlice, k key) int { return keyOf(o).compare(k) })
	}
	if k, ok := sliceOwner(c.old); ok {
		s := b.pend(k)
		if i, there := find(s, c.old); there {
			s.slices = slices.Delete(s.slices, i, i+1)
		}
	}
	if k, ok := sliceOwner(c.new); ok {
		s := b.pend(k)
		i, _ := find(s, c.new)
		s.slices = slices.Insert(s.slices, i, c.new)
	}
}

func sliceOwner(o *discoveryv1.EndpointSlice) (key, bool) {
	if o == nil || o.Labels[discoveryv1.LabelServiceName] == "" {
		return key{}, false
	}
	return key{o.Namespace, o.Labels[discoveryv1.LabelServiceName]}, true
}

// readShared reads what many services and pods lean on: settings, policies,
// namespaces, imports.
func (b *build) readShared() {
	p, n := b.prev, b.next
	if p.settings == nil || p.settings.Settings != n.settings.Settings {
		b.stalePods = true
		b.pendAll(p.rows)
	}
	n.rules = p.rules
	if p.rules == nil || !sameSlice(p.policies.given, n.policies.given) || p.settings.RootNamespace != n.settings.RootNamespace {
		n.rules = arrangePolicies(n.policies.rows, n.settings.RootNamespace)
		b.stalePods = true
	}
	n.distribution = p.distribution
	if p.distribution == nil || !sameSlice(p.namespaces.given, n.namespaces.given) {
		n.distribution = distributionOf(n.namespaces.rows)
		for _, ns := range changedValues(p.distribution, n.distribution) {
			b.pendAll(p.rows.in(ns))
		}
	}
	n.imports = nextImports(b.in.Imports, b.in.Unreached, n.settings, p.imports)
	b.pendGroups()
	b.problemsMoved = p.settings != n.settings || p.rules != n.rules || p.imports != n.imports ||
		!slices.Equal(p.tableProblems(), n.tableProblems())
}

// pendGroups pends the services whose imports changed.
func (b *build) pendGroups() {
	var old []*group
	if b.prev.imports != nil {
		old = b.prev.imports.groups
	}
	for _, g := range b.next.imports.groups {
		if was, ok := findGroup(old, g.key); !ok || was != g {
			b.pend(g.key).group = g
		}
	}
	for _, g := range old {
		if _, ok := findGroup(b.next.imports.groups, g.key); !ok {
			b.pend(g.key).group = nil
		}
	}
}

// distributionOf reads the namespaces' defaults of traffic distribution.
func distributionOf(namespaces []*corev1.Namespace) map[string]string {
	all := map[string]string{}
	for _, ns := range namespaces {
		if value := ns.Annotations[annotationDistribution]; value != "" {
			all[ns.Name] = value
		}
	}
	return all
}

// changedValues are the keys whose values differ.
func changedValues(a, b map[string]string) []string {
	var changed []string
	for k := range a {
		if a[k] != b[k] {
			changed = append(changed, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			changed = append(changed, k)
		}
	}
	return changed
}

// readPods finds what each pod is to the mesh, and the services that must know.
func (b *build) readPods() {
	p, n := b.prev, b.next
	n.podRows = p.podRows
	if b.stalePods || b.movedNodes != nil || !sameSlice(p.pods.given, n.pods.given) {
		stale := func(pod *corev1.Pod) bool { return b.stalePods || b.movedNodes[pod.Spec.NodeName] }
		n.podRows, b.changedPods = nextPods(n.pods.rows, p.podRows, stale, func(pod *corev1.Pod) *facts {
			return factsOf(pod, n.settings, n.nodes.rows, n.rules)
		})
	}
	for _, run := range byNamespace(b.changedPods) {
		for _, row := range p.rows.in(run[0].namespace) {
			if row.touches(run) {
				b.pend(row.key)
			}
		}
	}
	if b.movedNodes != nil {
		for _, row := range p.rows {
			if row.leansOn(b.movedNodes) {
				b.pend(row.key)
			}
		}
	}
}

// buildServices builds the pending rows and puts them among the others.
func (b *build) buildServices() {
	n := b.next
	if len(b.pending) == 0 {
		n.rows = b.prev.rows
		return
	}
	at := &surroundings{settings: n.settings, nodes: n.nodes.rows, pods: n.podRows, distribution: n.distribution, machines: n.machines, decorations: n.decorations}
	keys := slices.SortedFunc(maps.Keys(b.pending), key.compare)
	n.rows = slices.Grow(n.rows, len(b.prev.rows)+len(keys))
	rest := b.prev.rows
	for _, k := range keys {
		i, there := slices.BinarySearchFunc(rest, k, func(row *serviceRow, k key) int { return row.key.compare(k) })
		n.rows = append(n.rows, rest[:i]...)
		rest = rest[i:]
		var old *serviceRow
		if there {
			old, rest = rest[0], rest[1:]
		}
		var row *serviceRow
		if in := b.pending[k]; !in.empty() {
			row = at.build(k, *in, old)
			n.rows = append(n.rows, row)
		}
		b.compareRows(old, row)
	}
	n.rows = append(n.rows, rest...)
}

// compareRows notes what follows from a row that was built again.
func (b *build) compareRows(old, now *serviceRow) {
	none := &serviceRow{}
	if old == nil {
		old = none
	}
	if now == nil {
		now = none
	}
	if len(old.problems)+len(now.problems) > 0 {
		b.problemsMoved = true
	}
	if old.service != now.service || !slices.Equal(old.targets, now.targets) {
		for _, t := range old.targets {
			b.retargeted = append(b.retargeted, key{old.namespace, t.pod})
		}
		for _, t := range now.targets {
			b.retargeted = append(b.retargeted, key{now.namespace, t.pod})
		}
	}
	if sameState(old.state, now.state) {
		return
	}
	if old.state.Service != nil {
		b.gone = append(b.gone, old.state.Service.Hostname)
	}
	if now.state.Service != nil {
		b.now = append(b.now, now.state)
	}
}

func sameState(a, b model.ServiceState) bool {
	return a.Service == b.Service && sameSlice(a.Endpoints, b.Endpoints) && sameSlice(a.UDP, b.UDP)
}

// buildWorkloads gives the pods that changed, and those that services send to
// otherwise than before, their inbound ports.
func (b *build) buildWorkloads() {
	n := b.next
	owned := false
	for _, run := range byNamespace(slices.Concat(b.changedPods, b.retargeted)) {
		claims := map[string][]entries.Claim{}
		for _, row := range n.rows.in(run[0].namespace) {
			for _, t := range row.targets {
				if among(run, t.pod) {
					claims[t.pod] = append(claims[t.pod], row.claim(t))
				}
			}
		}
		for _, c := range claimsIn(n.entries.Claims, run[0].namespace) {
			if among(run, c.Workload) {
				claims[c.Workload] = append(claims[c.Workload], c)
			}
		}
		for _, k := range run {
			i, ok := n.podRows.index(k)
			if !ok {
				continue
			}
			row := n.podRows[i].withInbound(claims[k.name])
			if row == n.podRows[i] {
				continue
			}
			if !owned {
				n.podRows, owned = slices.Clone(n.podRows), true
			}
			n.podRows[i] = row
		}
	}
}
