// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/peer"
)

// TestWorkload: the labels that say what a workload is, in their order.
func TestWorkload(t *testing.T) {
	cases := map[string]struct {
		labels map[string]string
		want   peer.Peer
	}{
		"Nothing": {nil, peer.Peer{CanonicalService: "web-v1"}},
		"AppAndVersion": {
			map[string]string{"app": "web", "version": "v1"},
			peer.Peer{App: "web", Version: "v1", CanonicalService: "web", CanonicalRevision: "v1"},
		},
		"Recommended": {
			map[string]string{"app": "web", "version": "v1", "app.kubernetes.io/name": "shop-web", "app.kubernetes.io/version": "1.2"},
			peer.Peer{App: "web", Version: "v1", CanonicalService: "shop-web", CanonicalRevision: "1.2"},
		},
		"Canonical": {
			map[string]string{
				"app.kubernetes.io/name": "shop-web", "app.kubernetes.io/version": "1.2",
				"service.istio.io/canonical-name": "front", "service.istio.io/canonical-revision": "blue",
			},
			peer.Peer{CanonicalService: "front", CanonicalRevision: "blue"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := Settings{Node: bootstrap.Node{WorkloadName: "web-v1", Namespace: "shop", ClusterID: "west", Labels: c.labels}}
			c.want.Workload, c.want.Namespace, c.want.Cluster = "web-v1", "shop", "west"
			if d := cmp.Diff(c.want, s.workload()); d != "" {
				t.Error(d)
			}
		})
	}
}
