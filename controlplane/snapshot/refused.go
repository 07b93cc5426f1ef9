// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindEnvoyFilter = "EnvoyFilter"

// maxRefused rejections are looked at in one go; the others when those are spared.
const maxRefused = 2000

// compare pairs of texts one after the other.
func compare(a, b, c, d string) int { return cmp.Or(cmp.Compare(a, b), cmp.Compare(c, d)) }

// Refused is what is to be set aside of the objects of this snapshot's mesh, after
// what proxies refuse now. Which of several objects that made a resource is to
// blame it finds out by what the proxy accepts (search). settled tells whether a
// pod's proxy had answered all that it was sent before rejections were looked at,
// and whether it is there at all. It returns the Aside that the snapshot was built
// with when there is nothing to be done.
func (s *Snapshot) Refused(rejections []model.Rejection, settled func(namespace, name string) (done, connected bool)) *Aside {
	if s.aside == nil {
		return nil
	}
	next := *s.aside
	next.pods = maps.Clone(s.aside.pods)
	if next.pods == nil {
		next.pods = map[objectName]*spared{}
	}
	next.stands = maps.Clone(s.aside.stands)
	unplugged, some := s.unplug(rejections)
	next.unplugged = unplugged
	by := map[objectName][]model.Rejection{}
	for _, r := range rejections[:min(len(rejections), maxRefused)] {
		k := objectName{r.Proxy.Namespace, r.Proxy.Name}
		by[k] = append(by[k], r)
	}
	for pod := range next.pods {
		if by[pod] == nil {
			by[pod] = nil
		}
	}
	t := &trial{s: s, next: &next, touches: newTouches(), settled: settled}
	for _, pod := range slices.SortedFunc(maps.Keys(by), objectName.compare) {
		now := next.pods[pod].clone()
		if next.pods[pod] == nil {
			now.stranger = s.Workload(pod.namespace, pod.name) == nil
		}
		if !t.judge(pod, now, by[pod]) {
			continue
		}
		some = true
		if next.pods[pod] = now; len(now.of) == 0 && now.search == nil && len(now.hopeless) == 0 {
			delete(next.pods, pod)
		}
	}
	if !some {
		return s.aside
	}
	return &next
}

// trial of what many pods' proxies refuse.
type trial struct {
	s       *Snapshot
	next    *Aside
	touches *touches
	settled func(namespace, name string) (done, connected bool)
}

// charge is a resource that a proxy refuses, and who had a hand in it.
type charge struct {
	what    refused
	proxy   *model.Proxy
	version string
	hands   map[object]reproach
}

// judge what a pod's proxy refuses of what it was sent; false when nothing follows.
func (t *trial) judge(pod objectName, now *spared, list []model.Rejection) bool {
	some := false
	charges := t.charges(now, list)
	if now.search != nil {
		// Only what the search is about; who came since is looked at from the start.
		of := slices.DeleteFunc(slices.Clone(charges), func(c charge) bool { return !c.concerns(now.search) })
		accepted := len(of) == 0
		if accepted {
			done, connected := t.settled(pod.namespace, pod.name)
			switch {
			case !connected: // it tells itself when it is back
				now.search = nil
				if now.stranger {
					clear(now.of)
				}
				return true
			case !done:
				return false
			}
		}
		if !accepted && slices.ContainsFunc(of, func(c charge) bool { return c.others(now) }) {
			now.search = nil
		} else {
			if is := t.goOn(pod, now, accepted, of); is != muddled {
				return true
			}
		}
		some = true
	} else if now.stranger {
		if _, connected := t.settled(pod.namespace, pod.name); !connected && len(list) == 0 {
			clear(now.of)
			now.hopeless = nil
			return true
		}
	}
	return t.begin(pod, now, charges) || some
}

// goOn with a search by what the proxy answered.
func (t *trial) goOn(pod objectName, now *spared, accepted bool, of []charge) verdict {
	shown := now.search.shown()
	next, is := now.search.answered(accepted)
	switch is {
	case found:
		last := shown[len(shown)-1]
		now.of[last.of] = t.refusal(pod, last, now.search.why[last.of])
	case hopeless:
		// The search's steps are given back, and it will be refused as it is then.
		now.search = nil
		now.hopeless = maps.Clone(now.hopeless)
		if now.hopeless == nil {
			now.hopeless = map[refused]string{}
		}
		for _, c := range of {
			now.hopeless[c.what], _ = c.what.version(t.s.instead(now.standIns()).View(c.proxy))
		}
	case goingOn, innocent, muddled:
	}
	now.search = next
	return is
}

// refusal of an object that was found guilty.
func (t *trial) refusal(pod objectName, is step, why reproach) refusal {
	return refusal{aside: true, standIn: is.standIn, why: why, problem: why.on.Problem(why.field, model.RejectedByProxy, fmt.Sprintf(
		"pod %s/%s rejects %s, which this makes or changes, so %s: %s; mend it or take it back",
		pod.namespace, pod.name, described(model.Rejection{TypeURL: why.typeURL, Resource: why.resource}), is.goesOn(is.of.kind), oneLine(why.text)))}
}

// charges against objects: what a proxy refuses of what it is to have now.
func (t *trial) charges(now *spared, list []model.Rejection) []charge {
	var out []charge
	for _, r := range list {
		if t.s.plugin(r) {
			continue
		}
		seen := t.s.seenBy(r.Proxy)
		what := refused{r.TypeURL, r.Resource}
		version, there := what.version(seen.View(r.Proxy))
		if !there || r.Version != "" && version != r.Version {
			continue // it was sent before
		}
		if hands := t.hands(seen, r); len(hands) > 0 {
			out = append(out, charge{what, r.Proxy, version, hands})
		}
	}
	return t.open(now, out)
}

// version of the resource that a proxy is to have; false when it is to have none. Of
// a response as a whole, of which the proxy doesn't say what is bad in it, it is that
// of all resources of the type together.
func (w refused) version(v *envoy.View) (string, bool) {
	if w.resource == "" {
		of := v.Types[w.typeURL]
		return fmt.Sprintf("%p %p", of.Shared, of.Own), len(of.Shared.Resources())+len(of.Own.Resources()) > 0
	}
	r := v.Get(w.typeURL, w.resource)
	if r == nil {
		return "", false
	}
	return r.Version, true
}

// open charges: those that are not known to be hopeless. While a search goes on,
// versions come and go.
func (t *trial) open(now *spared, list []charge) []charge {
	var out []charge
	for _, c := range list {
		if version, known := now.hopeless[c.what]; !known || now.search == nil && version != c.version {
			out = append(out, c)
		}
	}
	return out
}

// concerns a search when it may have made the resource.
func (c charge) concerns(s *search) bool {
	for o := range c.hands {
		if s.has(o) {
			return true
		}
	}
	return false
}

// others than those of the search had a hand in it.
func (c charge) others(now *spared) bool {
	for o := range c.hands {
		if _, known := now.search.why[o]; !known {
			return true
		}
	}
	return false
}

// begin a search for those to blame; false when nobody can be.
func (t *trial) begin(pod objectName, now *spared, charges []charge) bool {
	if len(charges) == 0 {
		return false
	}
	why := map[object]reproach{}
	for _, c := range charges {
		for o, r := range c.hands {
			if _, known := why[o]; !known {
				why[o] = r
			}
		}
	}
	steps := t.steps(pod, now, why)
	if len(steps) == 0 {
		return false
	}
	if now.hopeless != nil {
		now.hopeless = maps.Clone(now.hopeless)
		for _, c := range charges {
			delete(now.hopeless, c.what)
		}
	}
	now.search = newSearch(steps, why)
	return true
}

// plugin is true for the configuration of a plugin, which unplug is for.
func (s *Snapshot) plugin(r model.Rejection) bool {
	return r.TypeURL == envoy.ExtensionType && len(s.pluginsOf(r)) > 0
}
