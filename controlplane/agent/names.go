// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/dns"
	"github.com/isthmesh/isthmesh/controlplane/agent/drain"
	"github.com/isthmesh/isthmesh/controlplane/agent/nds"
	ndsv1 "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
)

// names joins the control plane's stream to the DNS server and to draining,
// where the pod's DNS is led to the agent. Without that it does nothing.
type names struct {
	server *dns.Server
	stream *nds.Client
	at     []netip.AddrPort
	leaf   atomic.Pointer[csr.Leaf]
	issued chan struct{}
}

func newNames(s Settings, node *corev3.Node, controlPlane spiffeid.ID, drainer *drain.Drainer) *names {
	n := &names{issued: make(chan struct{})}
	if !s.Node.DNSCapture {
		return n
	}
	n.server = dns.New(s.Nameservers)
	n.at = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.DNSPort)}
	if s.ipv6() {
		n.at = append(n.at, netip.AddrPortFrom(netip.IPv6Loopback(), s.DNSPort))
	}
	pod := dns.Pod{Namespace: s.Node.Namespace, Domain: "svc." + s.Node.DomainSuffix, Search: s.Search}
	n.stream = &nds.Client{
		Address: s.Discovery, ServerName: nameOr(s.DiscoveryName, s.Discovery), ServerID: controlPlane,
		Node:    node,
		Leaf:    n.leaf.Load,
		Publish: func(names map[string]*ndsv1.NameTable_NameInfo) { n.server.Set(dns.NewTable(names, pod)) },
		Terminating: func(ctx context.Context) {
			log := logr.FromContextOrDiscard(ctx)
			if err := drainer.Refuse(ctx); err != nil {
				log.Error(err, "The pod is being deleted, and callers were not told")
				return
			}
			log.Info("The pod is being deleted: callers go elsewhere")
		},
		Clock: clock.RealClock{}, Random: rand.Float64,
	}
	return n
}

// certificate takes each new leaf, from one goroutine.
func (n *names) certificate(leaf *csr.Leaf) {
	if n.leaf.Swap(leaf) == nil {
		close(n.issued)
	}
}

// serve answers the pod until the context ends, from the first moment on; the
// names come when there is a certificate to ask with.
func (n *names) serve(ctx context.Context) error {
	if n.server == nil {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.server.Serve(ctx, n.at...) })
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-n.issued:
			n.stream.Run(ctx)
		}
		return nil
	})
	return group.Wait()
}
