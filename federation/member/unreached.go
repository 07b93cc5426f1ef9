// SPDX-License-Identifier: Apache-2.0

package member

import (
	"slices"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// unreached is what the hub is to know of other members' gateways.
type unreached struct {
	gateways []model.RemoteGateway
	// taken: the hub of this stream knows what to do with it.
	taken bool
	// due: it has another list, or none yet.
	due bool
}

// SetUnreached replaces the gateways of other members that don't answer this
// one's, sorted, for the hub to show. It never blocks.
func (c *Client) SetUnreached(gateways []model.RemoteGateway) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Equal(gateways, c.unreached.gateways) {
		return
	}
	c.unreached.gateways, c.unreached.due = gateways, true
	c.send.up()
}

// welcome begins a stream, of which the hub knows nothing yet.
func (u *unreached) welcome(taken bool) { u.taken, u.due = taken, len(u.gateways) > 0 }

// next is what to send now; nil when there is nothing.
func (u *unreached) next() *federationv1.Unreached {
	if !u.due || !u.taken {
		return nil
	}
	u.due = false
	out := &federationv1.Unreached{}
	for _, g := range u.gateways {
		out.Gateways = append(out.Gateways, &federationv1.UnreachedGateway{
			Member: string(g.Cluster), Gateway: &federationv1.Gateway{Address: g.Address, Port: uint32(g.Port)},
		})
	}
	return out
}
