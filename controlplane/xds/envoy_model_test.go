// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// modelEnvoy behaves as Envoy does, as far as the order of things goes: it asks
// for the endpoints of clusters and for the routes of listeners, holds back its
// answer to clusters until they are warm, keeps what it has when it reconnects,
// and lets go of endpoints with their clusters.
type modelEnvoy struct {
	sotw bool
	// content of resources the test made.
	content map[*envoy.Resource]string
	has     [kinds]map[string]*envoy.Resource
	// asked: names subscribed to, of endpoints and routes.
	asked [kinds]map[string]bool
	// news to subscribe to and drop with the next request of a kind.
	add, drop [kinds][]string
	// warming clusters wait for endpoints; served were warm once.
	warming, served map[string]bool
	// held back answer to clusters.
	held *request
	// out are requests not yet delivered; opened: kinds asked for on this stream.
	out    []sentRequest
	opened [kinds]bool
	nonce  [kinds]string
	// ever accepted anything of a kind.
	ever [kinds]bool
}

type sentRequest struct {
	kind kind
	request
}

func newModelEnvoy(sotw bool, content map[*envoy.Resource]string) *modelEnvoy {
	e := &modelEnvoy{sotw: sotw, content: content, warming: map[string]bool{}, served: map[string]bool{}}
	for k := range kinds {
		e.has[k], e.asked[k] = map[string]*envoy.Resource{}, map[string]bool{}
	}
	return e
}

// connect asks, on a new stream, for everything that it wants.
func (e *modelEnvoy) connect() {
	e.out, e.held = nil, nil
	e.opened, e.nonce = [kinds]bool{}, [kinds]string{}
	for _, k := range []kind{clusters, endpoints, listeners, routes} {
		e.add[k], e.drop[k] = nil, nil
		if named := k == endpoints || k == routes; named && len(e.asked[k]) == 0 {
			continue
		}
		// While clusters are warming it says nothing about clusters.
		if k != clusters || len(e.warming) == 0 {
			e.ask(k)
		}
	}
}

func (e *modelEnvoy) ask(k kind) {
	r := request{sotw: e.sotw, nonce: e.nonce[k]}
	if e.sotw && e.ever[k] {
		r.version = "some"
	}
	switch {
	case !e.opened[k]:
		e.opened[k] = true
		r.subscribe = slices.Sorted(maps.Keys(e.asked[k]))
		if !e.sotw {
			for name, res := range e.has[k] {
				r.initial = append(r.initial, held{name, res.Version})
			}
		}
	case e.sotw:
		r.subscribe = slices.Sorted(maps.Keys(e.asked[k]))
	default:
		r.subscribe, r.unsubscribe, r.nonce = e.add[k], e.drop[k], ""
	}
	e.add[k], e.drop[k] = nil, nil
	e.out = append(e.out, sentRequest{k, r})
}

// take a response and answer it.
func (e *modelEnvoy) take(k kind, nonce string, s selection) {
	e.nonce[k], e.ever[k] = nonce, true
	removed := s.removed
	if e.sotw && k.whole() {
		now := map[string]bool{}
		for _, r := range s.resources {
			now[r.Name] = true
		}
		for name := range e.has[k] {
			if !now[name] {
				removed = append(removed, name)
			}
		}
	}
	for _, r := range s.resources {
		e.put(k, r)
	}
	for _, name := range removed {
		e.remove(k, name)
	}
	e.subscribeNews()
	answer := request{sotw: e.sotw, nonce: nonce}
	if e.sotw {
		answer.subscribe = slices.Sorted(maps.Keys(e.asked[k]))
	}
	if k == clusters {
		e.held = &answer
	} else {
		e.out = append(e.out, sentRequest{k, answer})
	}
	if len(e.warming) > 0 {
		return
	}
	if e.held != nil {
		e.out = append(e.out, sentRequest{clusters, *e.held})
		e.held = nil
	}
	if !e.opened[clusters] {
		e.ask(clusters)
	}
}

func (e *modelEnvoy) put(k kind, r *envoy.Resource) {
	old := e.has[k][r.Name]
	switch k {
	case clusters:
		if old == nil {
			e.want(endpoints, r.Name)
		}
		if old == nil || old.Version != r.Version {
			e.warming[r.Name] = true
		}
	case endpoints:
		if !e.asked[k][r.Name] {
			return
		}
		if e.warming[r.Name] {
			delete(e.warming, r.Name)
			e.served[r.Name] = true
		}
	case listeners:
		if old == nil {
			e.want(routes, "of-"+r.Name)
		}
	case routes:
		if !e.asked[k][r.Name] {
			return
		}
	}
	e.has[k][r.Name] = r
}

func (e *modelEnvoy) remove(k kind, name string) {
	switch k {
	case clusters:
		delete(e.warming, name)
		delete(e.served, name)
		e.unwant(endpoints, name)
	case listeners:
		e.unwant(routes, "of-"+name)
	default:
		return // Envoy keeps endpoints and routes until nobody wants them
	}
	delete(e.has[k], name)
}

func (e *modelEnvoy) want(k kind, name string) {
	e.asked[k][name] = true
	e.add[k] = append(e.add[k], name)
	e.drop[k] = slices.DeleteFunc(e.drop[k], func(n string) bool { return n == name })
}

func (e *modelEnvoy) unwant(k kind, name string) {
	if !e.asked[k][name] {
		return
	}
	delete(e.asked[k], name)
	delete(e.has[k], name)
	e.drop[k] = append(e.drop[k], name)
	e.add[k] = slices.DeleteFunc(e.add[k], func(n string) bool { return n == name })
}

func (e *modelEnvoy) subscribeNews() {
	for _, k := range []kind{endpoints, routes} {
		if len(e.add[k])+len(e.drop[k]) > 0 {
			e.ask(k)
		}
	}
}

// broken says which route leads nowhere; empty when none does.
func (e *modelEnvoy) broken() string {
	for _, name := range slices.Sorted(maps.Keys(e.has[routes])) {
		to, ok := e.content[e.has[routes][name]]
		if !ok {
			continue // an empty route leads nowhere on purpose
		}
		switch {
		case e.has[clusters][to] == nil:
			return fmt.Sprintf("route %s leads to cluster %s, which isn't there", name, to)
		case !e.served[to]:
			return fmt.Sprintf("route %s leads to cluster %s, which is not warm", name, to)
		}
	}
	return ""
}

// state is what it has, a line per resource.
func (e *modelEnvoy) state() string {
	var out []string
	for k := range kinds {
		for name, r := range e.has[k] {
			out = append(out, labels[k]+" "+name+"="+e.content[r])
		}
	}
	for name := range e.warming {
		out = append(out, "warming "+name)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
