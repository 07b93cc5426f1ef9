// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"iter"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Destinations of all rules of a routing, mirrors among them.
func Destinations(r *model.Routing) iter.Seq[*model.Destination] {
	return func(yield func(*model.Destination) bool) {
		each := func(list []model.Destination) bool {
			for i := range list {
				if !yield(&list[i]) {
					return false
				}
			}
			return true
		}
		for i := range r.HTTP {
			if !each(r.HTTP[i].Destinations) {
				return
			}
			for j := range r.HTTP[i].Mirrors {
				if !yield(&r.HTTP[i].Mirrors[j].Destination) {
					return
				}
			}
		}
		for i := range r.TLS {
			if !each(r.TLS[i].Destinations) {
				return
			}
		}
		for _, list := range [][]model.TCPRule{r.TCP, r.UDP} {
			for i := range list {
				if !each(list[i].Destinations) {
					return
				}
			}
		}
	}
}

// From are the callers that single rules of a routing are for.
func From(r *model.Routing) iter.Seq[*model.Callers] {
	return func(yield func(*model.Callers) bool) {
		for i := range r.HTTP {
			for j := range r.HTTP[i].Matches {
				if !yield(&r.HTTP[i].Matches[j].From) {
					return
				}
			}
		}
		for i := range r.TLS {
			for j := range r.TLS[i].Matches {
				if !yield(&r.TLS[i].Matches[j].From) {
					return
				}
			}
		}
		for _, list := range [][]model.TCPRule{r.TCP, r.UDP} {
			for i := range list {
				for j := range list[i].Matches {
					if !yield(&list[i].Matches[j].From) {
						return
					}
				}
			}
		}
	}
}
