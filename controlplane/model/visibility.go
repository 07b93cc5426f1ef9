// SPDX-License-Identifier: Apache-2.0

package model

import "slices"

// Visibility says whose callers see a service or a piece of configuration
// (Istio's exportTo). The zero value is everyone.
type Visibility struct {
	// Limited to Namespaces; with none of them, to nobody.
	Limited bool
	// Namespaces sorted. "." is already replaced by the object's own.
	Namespaces []string
}

// In is true when callers in a namespace see it.
func (v Visibility) In(namespace string) bool {
	return !v.Limited || slices.Contains(v.Namespaces, namespace)
}
