// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"fmt"
	"strings"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/federation/hub"
)

// unreachedStatus names the addresses that other members don't reach.
func unreachedStatus(unreached []hub.UnreachedGateway) []v1alpha1.UnreachedGateway {
	var out []v1alpha1.UnreachedGateway
	for _, u := range unreached {
		out = append(out, v1alpha1.UnreachedGateway{Address: u.Address, From: u.From[:min(len(u.From), status.MostNames)]})
	}
	return out
}

func unreachedMessage(unreached []hub.UnreachedGateway) string {
	parts := make([]string, len(unreached))
	for i, u := range unreached {
		parts[i] = fmt.Sprintf("%s doesn't answer %s", u.Address, status.Names(u.From))
	}
	return strings.Join(parts, "; ") +
		": see that the gateway's pods are up and that firewalls and the load balancer let connections of those members' gateways through; until then they call other endpoints where there are any"
}
