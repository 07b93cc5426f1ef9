// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"reflect"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// findRemotes are the members on other networks whose gateways are known, sorted
// by cluster; each is prev's where that says the same, and so is the list.
func (i *imports) findRemotes(prev *imports) []*model.Remote {
	var out []*model.Remote
	for _, m := range i.members {
		if m.Network == i.settings.Network || len(m.Gateways) == 0 {
			continue
		}
		r := &model.Remote{Cluster: m.Cluster, TrustDomain: m.TrustDomain, Gateways: m.Gateways}
		if prev != nil {
			if at := slices.IndexFunc(prev.remotes, func(o *model.Remote) bool { return reflect.DeepEqual(o, r) }); at >= 0 {
				r = prev.remotes[at]
			}
		}
		out = append(out, r)
	}
	if prev != nil {
		return shared(prev.remotes, out)
	}
	return out
}

// unreachedOf a member's gateways.
func unreachedOf(m *member, unreached []model.RemoteGateway) []model.GatewayAddress {
	var out []model.GatewayAddress
	for _, g := range m.Gateways {
		if slices.Contains(unreached, model.RemoteGateway{Cluster: m.Cluster, GatewayAddress: g}) {
			out = append(out, g)
		}
	}
	return out
}
