// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"

	"github.com/isthmesh/isthmesh/controlplane/peer"
)

// workload is what metrics say of this pod: what the CA says of it to others.
func (s *Settings) workload() peer.Peer {
	n := &s.Node
	label := func(names ...string) string {
		for _, name := range names {
			if v := n.Labels[name]; v != "" {
				return v
			}
		}
		return ""
	}
	return peer.Peer{
		Workload: n.WorkloadName, Namespace: n.Namespace, Cluster: n.ClusterID,
		App: label("app"), Version: label("version"),
		CanonicalService:  cmp.Or(label("service.istio.io/canonical-name", "app.kubernetes.io/name", "app"), n.WorkloadName),
		CanonicalRevision: label("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"),
	}
}
