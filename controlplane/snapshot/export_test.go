// SPDX-License-Identifier: Apache-2.0

package snapshot

// Kept counts what is remembered for proxies that may come back.
func (s *Snapshot) Kept() int {
	return len(s.classes.of) + len(s.localities.of) + len(s.namespaces.of) + len(s.workloads.of)
}
