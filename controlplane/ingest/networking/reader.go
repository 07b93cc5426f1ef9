// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/traffic"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Reasons of the Problems that are found here. An object with an Invalid field
// is refused at admission; the others are warnings.
const (
	// invalid: the value can't be used.
	invalid = "Invalid"
	// notSupported: the field means something that this control plane does not do.
	notSupported = "NotSupported"
	// conflict: another object says otherwise and wins.
	conflict = "Conflict"
	// noEffect: the field can be used, and changes nothing where it stands.
	noEffect = "NoEffect"
	// notFound: an object that is referred to is not there.
	notFound = "NotFound"
)

const (
	// maxProblems of one object; whoever has more mends the first ones first.
	maxProblems = 40
	// maxMessage of a Problem in bytes: it may hold what a user wrote.
	maxMessage = 600
)

// reader reads one object, and notes what is wrong with it.
type reader struct {
	origin   model.Origin
	settings *model.Settings
	problems []model.Problem
	// refusals counts the values that can't be used, told or not; why is the last one.
	refusals int
	why      string
}

func newReader(kind string, o metav1.Object, settings *model.Settings) *reader {
	return &reader{settings: settings, origin: model.Origin{
		Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), CreatedUnix: o.GetCreationTimestamp().Unix(),
	}}
}

// tell notes a Problem.
func (r *reader) tell(field, reason, format string, args ...any) {
	switch {
	case len(r.problems) > maxProblems:
		return
	case len(r.problems) == maxProblems:
		field, reason, format, args = "spec", invalid, "there are more problems than are told; mend these first", nil
	}
	text := fmt.Sprintf(format, args...)
	if len(text) > maxMessage {
		text = fmt.Sprintf("%.*s… (cut)", maxMessage, text)
	}
	r.problems = append(r.problems, r.origin.Problem(field, reason, text))
}

// refuse notes a value that can't be used.
func (r *reader) refuse(field, format string, args ...any) {
	r.refusals++
	r.why = field + " can't be used"
	r.tell(field, invalid, format, args...)
}

// reject notes a value that is not to be stored, as with Istio. Where it is
// stored already it is followed as well as can be.
func (r *reader) reject(field, format string, args ...any) { r.tell(field, invalid, format, args...) }

// below reports what is wrong with a piece whose reader is shared with MeshConfig.
func (r *reader) below(field string) traffic.Report {
	return func(sub, reason, format string, args ...any) {
		path := field
		if sub != "" {
			path += "." + sub
		}
		if reason == invalid {
			r.refuse(path, format, args...)
			return
		}
		r.tell(path, reason, format, args...)
	}
}

// at is the path of an item of a list.
func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// duration of at least a millisecond; nil when there is none, or none that can be used.
func (r *reader) duration(field string, d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	v := d.AsDuration()
	switch {
	case d.GetSeconds() >= endOfTime:
		r.refuse(field, "%ds is too long; give less than %ds", d.GetSeconds(), int64(endOfTime))
		return nil
	case d.CheckValid() != nil || v < time.Millisecond:
		r.refuse(field, "%v is too short; give at least 1ms", v)
		return nil
	}
	return &v
}

// endOfTime are the seconds from which on Envoy takes no duration: their
// nanoseconds are too many for 64 bits.
const endOfTime = 9223372036

// orZero takes a duration of zero too, which turns something off.
func (r *reader) orZero(field string, d *durationpb.Duration) *time.Duration {
	if d != nil && d.GetSeconds() == 0 && d.GetNanos() == 0 {
		return new(time.Duration)
	}
	return r.duration(field, d)
}

// port from 1 to 65535; 0 when it is none.
func (r *reader) port(field string, number uint32) uint16 {
	if number < 1 || number > 65535 {
		r.refuse(field, "%d is no port; use 1 to 65535", number)
		return 0
	}
	return uint16(number)
}

// count is a limit of at least zero; 0 when it is below.
func (r *reader) count(field string, n int32) uint32 {
	if n < 0 {
		r.refuse(field, "%d is below zero; use 0 or more", n)
		return 0
	}
	return uint32(n)
}

// share of requests in percent, which Envoy counts in parts of a million.
func (r *reader) share(field string, p float64) float64 {
	if p > 0 && p < 0.0001 {
		r.reject(field, "%v is less than proxies can count; use 0, or 0.0001 and more", p)
	}
	return r.percent(field, p)
}

// percent from 0 to 100; 0 when it is none.
func (r *reader) percent(field string, p float64) float64 {
	if !(p >= 0 && p <= 100) { // not a number is outside too
		r.refuse(field, "%v is no percentage; use 0 to 100", p)
		return 0
	}
	return p
}

// visibility of an object by its exportTo list.
func (r *reader) visibility(exportTo, fallback []string) model.Visibility {
	v, unknown := model.VisibilityOf(exportTo, r.origin.Namespace, fallback)
	for _, to := range unknown {
		r.refuse("spec.exportTo", "%.100q is no namespace; use a namespace's name, \".\" for this one, or \"*\" for all", to)
	}
	if len(exportTo) > 1 && slices.Contains(exportTo, "*") {
		r.reject("spec.exportTo", "\"*\" is everyone, so the other entries change nothing; leave them out")
	}
	there := map[string]bool{}
	for _, to := range exportTo {
		if to == "." {
			to = r.origin.Namespace
		}
		if there[to] {
			r.reject("spec.exportTo", "%.100q is there twice; name each namespace once", to)
		}
		there[to] = true
	}
	return v
}

// labels of a selector; false when one can't be a label: then it selects nothing.
func (r *reader) labels(field string, m map[string]string) (model.Labels, bool) {
	ok := true
	for _, k := range sortedKeys(m) {
		switch {
		case !isLabelKey(k):
			ok = false
			r.refuse(field, "%.100q is no key of a label; use letters, digits, - _ . and at most one /", k)
		case !isLabelValue(m[k]):
			ok = false
			r.refuse(field+"["+k+"]", "%.100q is no value of a label; use up to 63 letters, digits, - _ and . (wildcards aren't)", m[k])
		}
	}
	if !ok {
		return "", false
	}
	return model.LabelsOf(m), true
}
