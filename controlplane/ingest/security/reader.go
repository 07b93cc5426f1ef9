// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	kindAuthorization  = "AuthorizationPolicy"
	kindAuthentication = "RequestAuthentication"

	// Reasons of Problems, as package ingest has them.
	invalid      = "Invalid"
	noEffect     = "NoEffect"
	notSupported = "NotSupported"
	unavailable  = "KeysUnavailable"
	// notFound is for what the mesh's configuration may have, or get later.
	notFound = "NotFound"

	// annotationDryRun makes a policy decide nothing (Istio's annotation).
	annotationDryRun = "istio.io/dry-run"
	// annotationMalformed is on objects that couldn't be read (informers).
	annotationMalformed = "federation.isthmesh.dev/malformed"
)

// reader collects what is wrong with one object.
type reader struct {
	origin   model.Origin
	settings *model.Settings
	problems []model.Problem
	// fault is the first thing for which the object can't be had.
	fault string
}

// refuse a field: the object can't be had.
func (r *reader) refuse(field, format string, args ...any) {
	r.refuseFor(invalid, field, format, args...)
}

// refuseFor is refuse for another reason than that the object is wrong in itself.
func (r *reader) refuseFor(reason, field, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if r.fault == "" {
		r.fault = field + ": " + message
	}
	r.tell(field, reason, "%s", message)
}

// tell of something that doesn't make the object useless.
func (r *reader) tell(field, reason, format string, args ...any) {
	r.problems = append(r.problems, r.origin.Problem(field, reason, fmt.Sprintf(format, args...)))
}

func originOf(kind string, o metav1.Object) model.Origin {
	return model.Origin{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), CreatedUnix: o.GetCreationTimestamp().Unix()}
}
