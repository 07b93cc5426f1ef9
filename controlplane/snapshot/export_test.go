// SPDX-License-Identifier: Apache-2.0

package snapshot

import "github.com/isthmesh/isthmesh/controlplane/model"

// Kept counts what is remembered for proxies that may come back.
func (s *Snapshot) Kept() int {
	return len(s.classes.of) + len(s.localities.of) + len(s.namespaces.of) + len(s.workloads.of)
}

// FindIdle tells what policies and routings say in vain, as it is found after
// another snapshot; nil for none.
func (s *Snapshot) FindIdle(before *Snapshot) []model.Problem {
	var earlier idle
	if before != nil {
		earlier = before.idle.get(before.findIdle)
	}
	return s.findIdle(earlier).problems
}
