// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Aside remembers which objects which proxies refuse. What an object makes of a
// listener, or of a table of routes, would hold up all else that changes in it, so
// a proxy that refuses it gets on with something that stands in for the object
// (standIn), until the object changes. A proxy decides for itself alone: what one
// refuses is the others' as it was. The zero value, and nil, is nothing.
//
// It is a value: Next and Snapshot.Refused return another one, or the same when
// nothing is different.
type Aside struct {
	// mesh that was looked at last.
	mesh *model.Mesh
	// changes of objects, the last ones.
	changes map[object]change
	// stands are what may stand in for objects when nothing else is known.
	stands map[object][]standIn
	pods   map[objectName]*spared
	// unplugged are the plugins that proxies go without.
	unplugged unplugged
	// looks counts what was looked at, for the order in which objects and pods came.
	looks int
	// arrived is the look at which pods came that weren't there from the start.
	arrived map[objectName]int
}

// mostChanges that are remembered.
const mostChanges = 512

// objectName is an object of a kind that goes without saying.
type objectName struct{ namespace, name string }

func (o objectName) compare(p objectName) int {
	return compare(o.namespace, p.namespace, o.name, p.name)
}

// spared is what one pod's proxy is spared.
type spared struct {
	of map[object]refusal
	// search for who is to blame; nil when nothing is refused that may be mended.
	search *search
	// hopeless are versions of resources that it refuses whatever stands in.
	hopeless map[refused]string
	// stranger: there was no pod in the mesh when its proxy refused first.
	stranger bool
}

// refused is a resource.
type refused struct{ typeURL, resource string }

// refusal of an object.
type refusal struct {
	// aside now; else only what may stand in is remembered.
	aside bool
	standIn
	// why, and the Problem that says so.
	why     reproach
	problem model.Problem
}

// reproach is what a proxy says of a resource, and the field of the object that
// made it so.
type reproach struct {
	refused
	// on is the object that is told.
	on          model.Origin
	field, text string
}

// Next is what still holds with another mesh: an object that changed is tried
// again, one that is gone is forgotten.
func (a *Aside) Next(mesh *model.Mesh) *Aside {
	switch {
	case a == nil || a.mesh == nil:
		return &Aside{mesh: mesh, looks: 1}
	case a.mesh == mesh:
		return a
	}
	next := *a
	next.mesh = mesh
	next.looks++
	next.arrived = arrivals(a.arrived, a.mesh.Workloads, mesh.Workloads, next.looks)
	other := changed(a.mesh, mesh)
	beside := wholes(other)
	before, now := gather(a.mesh, other), gather(mesh, other)
	// What only was read again, such as for its status, says the same.
	maps.DeleteFunc(other, func(k object, _ bool) bool { return reflect.DeepEqual(before[k], now[k]) })
	if len(other)+len(beside) > 0 {
		next.changes = maps.Clone(a.changes)
		next.stands = maps.Clone(a.stands)
		if next.changes == nil {
			next.changes = map[object]change{}
		}
		for k := range other {
			delete(next.stands, k)
			if now[k] == nil || sameOwn(before[k], now[k]) {
				// What others say in it may have been another thing before.
				delete(next.changes, k)
				continue
			}
			next.changes[k] = change{before: before[k], since: next.looks}
		}
		forget(next.changes, mostChanges)
		next.pods = map[objectName]*spared{}
		for pod, s := range a.pods {
			if s = s.next(other, beside, now); len(s.of) > 0 || s.search != nil || len(s.hopeless) > 0 {
				next.pods[pod] = s
			}
		}
	}
	return next.without(mesh)
}

// arrivals are the pods that came, and when, as far as they are still there. Both
// lists are sorted by namespace and name.
func arrivals(known map[objectName]int, before, now []*model.Workload, look int) map[objectName]int {
	if slices.Equal(before, now) {
		return known
	}
	out := maps.Clone(known)
	if out == nil {
		out = map[objectName]int{}
	}
	name := func(w *model.Workload) objectName { return objectName{w.Namespace, w.Name} }
	for len(before)+len(now) > 0 {
		order := len(before) - len(now) // who is left over
		if len(before) > 0 && len(now) > 0 {
			order = name(before[0]).compare(name(now[0]))
		} else {
			order = -order
		}
		switch {
		case order < 0:
			delete(out, name(before[0]))
			before = before[1:]
		case order > 0:
			out[name(now[0])] = look
			now = now[1:]
		default:
			if before[0].UID != now[0].UID {
				out[name(now[0])] = look // another one of its name
			}
			before, now = before[1:], now[1:]
		}
	}
	return out
}

// ranBefore is true for a pod that was there before an object came. Of two that were
// made in one second it counts which was seen first.
func (a *Aside) ranBefore(pod *model.Workload, of model.Origin, since int) bool {
	if pod.CreatedUnix == 0 || pod.CreatedUnix != of.CreatedUnix {
		return pod.CreatedUnix != 0 && pod.CreatedUnix < of.CreatedUnix
	}
	at, ok := a.arrived[objectName{pod.Namespace, pod.Name}]
	return !ok || at < since
}

// forget the oldest of too many changes.
func forget(changes map[object]change, most int) {
	if len(changes) <= most {
		return
	}
	old := slices.SortedFunc(maps.Keys(changes), func(x, y object) int {
		return cmp.Or(cmp.Compare(changes[x].since, changes[y].since), x.compare(y))
	})
	for _, k := range old[:len(changes)-most] {
		delete(changes, k)
	}
}

// wholes are the objects of which something may have changed.
func wholes(other map[object]bool) map[object]bool {
	out := map[object]bool{}
	for k := range other {
		if k.part != "" {
			out[k.whole()] = true
		}
	}
	return out
}

// next is what a pod is spared of objects some of which changed; beside are those
// of which a part did.
func (s *spared) next(other, beside map[object]bool, now map[object]*pieces) *spared {
	out := s.clone()
	for k, r := range s.of {
		switch {
		case !other[k] && k.part != "" && beside[k.whole()]:
			// What stands in for it may not suit what is beside it now.
			delete(out.of, k)
		case !other[k]:
		case r.aside && now[k] != nil && (r.how == asBefore || r.how == asNothing):
			// What it was is refused; of what is only remembered the proxy took it since.
			out.of[k] = refusal{standIn: r.standIn}
		default:
			delete(out.of, k)
		}
	}
	out.search = s.search.without(other)
	return out
}

func (s *spared) clone() *spared {
	if s == nil {
		return &spared{of: map[object]refusal{}}
	}
	out := *s
	out.of = maps.Clone(s.of)
	return &out
}

// without pods that are gone. Of those that the mesh never had, Refused sees when
// they go.
func (a *Aside) without(mesh *model.Mesh) *Aside {
	if u := a.unplugged.next(mesh); len(u) != len(a.unplugged) || !sameMap(u, a.unplugged) {
		out := *a
		out.unplugged = u
		a = &out
	}
	gone := func(pod objectName, s *spared) bool {
		return !s.stranger && mesh.Workload(pod.namespace, pod.name) == nil
	}
	some := false
	for pod, s := range a.pods {
		some = some || gone(pod, s)
	}
	if !some {
		return a
	}
	out := *a
	out.pods = maps.Clone(a.pods)
	maps.DeleteFunc(out.pods, gone)
	return &out
}

// Searched are the pods whose proxies' answers are waited for, as namespace and
// name, to find out which of several objects is to blame: then Refused has more to
// do though nobody refuses anything new.
func (a *Aside) Searched() [][2]string {
	if a == nil {
		return nil
	}
	var out [][2]string
	for pod, s := range a.pods {
		if s.search != nil {
			out = append(out, [2]string{pod.namespace, pod.name})
		}
	}
	return out
}

// problems of objects that proxies go without, each resource once.
func (a *Aside) problems() []model.Problem {
	if a == nil {
		return nil
	}
	type told struct {
		of   object
		what refused
	}
	seen := map[told]bool{}
	out := a.unplugged.problems()
	for _, pod := range slices.SortedFunc(maps.Keys(a.pods), objectName.compare) {
		s := a.pods[pod]
		for _, k := range slices.SortedFunc(maps.Keys(s.of), object.compare) {
			r := s.of[k]
			if !r.aside || seen[told{k, r.why.refused}] {
				continue
			}
			seen[told{k, r.why.refused}] = true
			out = append(out, r.problem)
		}
	}
	return out
}

// searches is true while it is being found out what a proxy refuses.
func (a *Aside) searches(p *model.Proxy) bool {
	s := a.pods[objectName{p.Namespace, p.Name}]
	return s != nil && s.search != nil
}
