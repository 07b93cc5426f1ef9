// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// farewell is what the agent of a pod that is being deleted is told; nil for
// others. There are few such pods at a time, so it is not remembered: what is
// told again and is the same is not sent again.
func (s *Snapshot) farewell(p *model.Proxy) *envoy.Layer {
	r, err := sidecar.Farewell(s.mesh, p.Workload)
	if r == nil || err != nil {
		return nil // two constants always marshal
	}
	l, _ := envoy.NewLayer([]*envoy.Resource{r})
	return l
}
