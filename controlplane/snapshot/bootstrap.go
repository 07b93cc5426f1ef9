// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/patch"
)

// bootstrapPatchesOf a rejection is the one that its resource stands for: an agent
// refuses a patch with which its Envoy would not start.
func (s *Snapshot) bootstrapPatchesOf(r model.Rejection) []culprit {
	for _, p := range s.mesh.Patches {
		if patch.IsBootstrap(p, r.Resource) {
			return []culprit{{p.Origin, fmt.Sprintf("spec.configPatches[%d].patch.value", p.Index)}}
		}
	}
	return nil
}
