// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"fmt"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// Clashes are what gateways, and the routings that are bound to them, take from
// each other at proxies that aren't there: nothing that pods are has the labels
// of assumed. The translation itself finds them, so that a proxy that comes later
// does as they say. Exported is as in Input.
func Clashes(mesh *model.Mesh, scopes *scope.Index, assumed Proxy, exported []string) []model.Problem {
	assumed.Known, assumed.IPv4 = false, true
	out := Translate(Input{
		Mesh: mesh, Scope: scopes, Proxy: assumed, Exported: exported, Policies: policy.None, Assumed: true,
		Cluster: func(d model.Destination, port uint16) (routing.Cluster, bool) {
			return routing.Cluster{Name: fmt.Sprintf("%d|%s|%s", port, d.Subset, d.Host)}, true
		},
	})
	return out.Problems
}
