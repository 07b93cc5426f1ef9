// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/node"
)

// Flat lets the pods of two clusters reach each other by their addresses, so
// that the two are one network. It lasts as long as the clusters do.
func (l Lab) Flat(ctx context.Context, a, b string) error {
	return l.alone(ctx, func() error { return l.flat(ctx, a, b) })
}

func (l Lab) flat(ctx context.Context, a, b string) error {
	specs, err := l.pick([]string{a, b})
	if err != nil {
		return err
	}
	if a == b {
		return fmt.Errorf("%s is on one network with itself already", a)
	}
	for i, spec := range specs {
		other := specs[1-i]
		peer := component.Peer{Name: other.Cluster.Name, PodCIDR: other.Cluster.PodCIDR, NodeIP: other.NodeIP}
		spec.Flat = withPeer(spec.Flat, peer)
		if err := writeSpec(spec); err != nil {
			return err
		}
		up, err := running(spec.Dirs())
		if err != nil {
			return err
		}
		if !up {
			continue
		}
		if err := node.Forward(ctx, spec, "nsenter", "--net="+spec.Dirs().Netns()); err != nil {
			return fmt.Errorf("%s: %w", spec.Cluster.Name, err)
		}
	}
	l.Log.Note("%s and %s are one network", a, b)
	return nil
}

func withPeer(peers []component.Peer, peer component.Peer) []component.Peer {
	for _, have := range peers {
		if have.Name == peer.Name {
			return peers
		}
	}
	return append(peers, peer)
}
