// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"
)

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

// VisibilityOf reads an exportTo list of an object in namespace own: "." is
// that namespace, "*" every one, "~" none. An empty list takes fallback, which is
// such a list too and may be empty for everyone. The entries that are none of
// these and no namespace's name come back as well; they are left out.
func VisibilityOf(exportTo []string, own string, fallback []string) (Visibility, []string) {
	if len(exportTo) == 0 {
		exportTo = fallback
	}
	if len(exportTo) == 0 {
		return Visibility{}, nil
	}
	out := Visibility{Limited: true}
	var unknown []string
	for _, to := range exportTo {
		switch to = strings.TrimSpace(to); {
		case to == "*":
			out.Limited = false
		case to == ".":
			out.Namespaces = append(out.Namespaces, own)
		case to == "~":
		case isNamespace(to):
			out.Namespaces = append(out.Namespaces, to)
		default:
			unknown = append(unknown, to)
		}
	}
	if !out.Limited {
		return Visibility{}, unknown
	}
	slices.Sort(out.Namespaces)
	out.Namespaces = slices.Compact(out.Namespaces)
	return out, unknown
}

// isNamespace is true for a name that a namespace can have (RFC 1123).
func isNamespace(s string) bool {
	inside := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && strings.IndexFunc(s, inside) < 0
}
