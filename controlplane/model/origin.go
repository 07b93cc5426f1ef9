// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"strings"
)

// Origin is the object that a piece of configuration came from. Problems that
// translators find in the piece are told on it.
type Origin struct {
	// Kind, Namespace and Name of the object.
	Kind, Namespace, Name string
	// CreatedUnix is its creation time in seconds.
	CreatedUnix int64
}

// Object is the origin itself, for whoever has a value that holds one.
func (o Origin) Object() Origin { return o }

// Older orders origins by age, then by namespace, name and kind: of two that
// clash the first in this order wins.
func (o Origin) Older(than Origin) int {
	return cmp.Or(
		cmp.Compare(o.CreatedUnix, than.CreatedUnix),
		strings.Compare(o.Namespace, than.Namespace),
		strings.Compare(o.Name, than.Name),
		strings.Compare(o.Kind, than.Kind))
}

// Problem about this object.
func (o Origin) Problem(field, reason, message string) Problem {
	return Problem{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Field: field, Reason: reason, Message: message}
}
