// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// ingressProblems of the mesh's Scopes.
func (s *Snapshot) ingressProblems() []model.Problem {
	var out []model.Problem
	for _, sc := range s.mesh.Scopes {
		out = append(out, sidecar.IngressProblems(sc, func(port uint16) (string, bool) {
			for _, w := range s.mesh.Workloads {
				if w.Meshed && w.MTLSOn(port) != model.Disable && scopeOf(s.scope, w) == sc {
					return w.Namespace + "/" + w.Name, true
				}
			}
			return "", false
		})...)
	}
	return out
}

// ownSecrets of a sidecar: what its class's policies ask for, and its listeners
// of its own. A file of both is shown once, in the shared layer.
func ownSecrets(of secrets, own *envoy.Layer) *envoy.Layer {
	if len(own.Resources()) == 0 {
		return of.keys.layer
	}
	all := slices.Concat(of.keys.layer.Resources(), own.Resources())
	all = slices.DeleteFunc(all, func(r *envoy.Resource) bool { return of.files.layer.Get(r.Name) != nil })
	l, _ := envoy.NewLayer(all)
	return l
}
