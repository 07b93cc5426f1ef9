// SPDX-License-Identifier: Apache-2.0

package model

// Root is the namespace whose objects hold for the whole mesh; empty when there are no
// settings, as in parts of a mesh that tests make.
func (s *Settings) Root() string {
	if s == nil {
		return ""
	}
	return s.RootNamespace
}
