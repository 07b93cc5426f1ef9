// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
)

// Verdict on an object. It is refused when Refused isn't empty. Each text names
// the object, the field, what is wrong and what mends it.
type Verdict struct{ Refused, Warnings []string }

// World is what else there is in the namespace of an object.
type World struct {
	Federations []v1alpha1.MeshFederation
	Members     []v1alpha1.MeshMember
}

// finding is one thing to say about an object.
type finding struct {
	field, message string
	// fatal: no member, or no mesh, can come of it. It is not for what another
	// object mends that may be applied later.
	fatal bool
}

func fatal(field, format string, args ...any) finding {
	return finding{field, fmt.Sprintf(format, args...), true}
}

func warning(field, format string, args ...any) finding {
	return finding{field, fmt.Sprintf(format, args...), false}
}

const (
	// mostFindings are told of one object, each of at most mostText bytes.
	mostFindings = 16
	mostText     = 1000
)

// verdict is made of what is found in an object, and of what was found in it
// before the change. What was wrong before is no reason to refuse a change:
// else nobody could mend an object one step at a time.
func verdict(object string, now, was []finding) Verdict {
	var v Verdict
	for _, f := range now {
		text := clip(object + ": " + f.field + ": " + f.message)
		if f.fatal && !slices.Contains(was, f) {
			v.Refused = append(v.Refused, text)
		} else {
			v.Warnings = append(v.Warnings, text)
		}
	}
	v.Refused, v.Warnings = bounded(v.Refused), bounded(v.Warnings)
	return v
}

func bounded(texts []string) []string {
	slices.Sort(texts)
	texts = slices.Compact(texts)
	if more := len(texts) - mostFindings; more > 0 {
		return append(texts[:mostFindings:mostFindings], fmt.Sprintf("and %d more", more))
	}
	return texts
}

func clip(text string) string {
	if len(text) > mostText {
		return strings.ToValidUTF8(text[:mostText], "") + "…"
	}
	return text
}

// list names, sorted, not too many.
func list(names []string) string { return status.Names(slices.Sorted(slices.Values(names))) }
