// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"strings"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
)

// Key names a service in every member alike (namespace sameness).
type Key struct{ Namespace, Name string }

// KeyOf reads a key; the zero Key for nil.
func KeyOf(k *federationv1.ServiceKey) Key {
	return Key{k.GetNamespace(), k.GetName()}
}

// Message writes the key.
func (k Key) Message() *federationv1.ServiceKey {
	return &federationv1.ServiceKey{Namespace: k.Namespace, Name: k.Name}
}

// Compare orders keys by namespace, then name.
func (k Key) Compare(o Key) int {
	if c := strings.Compare(k.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(k.Name, o.Name)
}

func (k Key) String() string { return k.Namespace + "/" + k.Name }
