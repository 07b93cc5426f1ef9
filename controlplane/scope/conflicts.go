// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// conflicts are the routings that no sidecar follows for one of their hosts,
// where another one is seen too and is older.
func (r *routings) conflicts() []model.Problem {
	holders := map[string][]*model.Routing{}
	var out []model.Problem
	for _, routing := range r.at[model.Sidecars] {
		for _, h := range routing.Hosts {
			i := slices.IndexFunc(holders[h], func(o *model.Routing) bool { return !(o.BySpecificity && routing.BySpecificity) && meet(o, routing) })
			if i < 0 {
				holders[h] = append(holders[h], routing)
				continue
			}
			o := holders[h][i]
			out = append(out, routing.Problem("spec.hosts", "Conflict", fmt.Sprintf(
				"%s %s/%s has rules for host %s and is older; sidecars that see both follow it alone: merge the two, or delegate", o.Kind, o.Namespace, o.Name, h)))
			break // the other hosts are mended with it
		}
	}
	return out
}

// meet is true when some callers see both.
func meet(a, b *model.Routing) bool {
	if a.ConsumerNamespace != "" && !holds(b, a.ConsumerNamespace) || b.ConsumerNamespace != "" && !holds(a, b.ConsumerNamespace) {
		return false
	}
	if !a.Visible.Limited || !b.Visible.Limited {
		return true
	}
	return slices.ContainsFunc(a.Visible.Namespaces, b.Visible.In)
}
