// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// subsetName is what a DestinationRule takes as one; it becomes a part of a server name.
var subsetName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)

func checkSubsets(p *federationv1.Port) *Fault {
	if n := len(p.GetSubsets()); n > MaxSubsets {
		return fault(ReasonTooLarge, "%d subsets behind port %d; at most %d are allowed", n, p.GetNumber(), MaxSubsets)
	}
	last := ""
	for _, s := range p.GetSubsets() {
		if f := CheckSubset(s.GetName(), model.Labels(s.GetLabels())); f != nil {
			return f
		}
		if s.GetName() <= last {
			return fault(ReasonMalformed, "subsets are not sorted, or doubled, at %q", s.GetName())
		}
		last = s.GetName()
		if f := checkZones(p.GetNumber(), s.GetZones()); f != nil {
			return f
		}
	}
	return nil
}

// CheckSubset checks what defines a subset.
func CheckSubset(name string, labels model.Labels) *Fault {
	if !subsetName.MatchString(name) {
		return fault(ReasonMalformed, "%.80q is no name of a subset", name)
	}
	if labels == "" {
		return fault(ReasonMalformed, "subset %q has no labels: it is the whole", name)
	}
	return CheckLabels(labels)
}

// CheckLabels checks that labels are some, in canonical form.
func CheckLabels(labels model.Labels) *Fault {
	last, n := "", 0
	for k, v := range labels.All() {
		if n++; n > MaxLabels {
			return fault(ReasonTooLarge, "more than %d labels", MaxLabels)
		}
		if e := validation.IsQualifiedName(k); len(e) > 0 {
			return fault(ReasonMalformed, "label %.80q: %s", k, e[0])
		}
		if e := validation.IsValidLabelValue(v); len(e) > 0 {
			return fault(ReasonMalformed, "value %.80q of label %s: %s", v, k, e[0])
		}
		if k <= last {
			return fault(ReasonMalformed, "labels are not sorted, or doubled, at %q", k)
		}
		last = k
	}
	return nil
}
