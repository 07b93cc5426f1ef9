// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Reasons of the Problems that ingest finds. NoService and InvalidServiceType
// are the multi-cluster services API's own words.
const (
	// NotSupported: the field means something that this control plane does not do.
	NotSupported = "NotSupported"
	// NoEffect: the field can be used, and changes nothing where it stands.
	NoEffect = "NoEffect"
	// UnknownField: nothing of that name exists.
	UnknownField = "UnknownField"
	// Invalid: the value cannot be used.
	Invalid = "Invalid"
	// Conflict: another object, or another field, says otherwise and wins.
	Conflict = "Conflict"
	// Rejected: another member claims what it may not, or what cannot be.
	Rejected = "Rejected"
	// NoService: a ServiceExport without a Service of its name.
	NoService = "NoService"
	// InvalidServiceType: a ServiceExport of an ExternalName Service.
	InvalidServiceType = "InvalidServiceType"
)

// Kinds that Problems name.
const (
	kindConfigMap          = "ConfigMap"
	kindEndpointSlice      = "EndpointSlice"
	kindMeshMember         = "MeshMember"
	kindNamespace          = "Namespace"
	kindNode               = "Node"
	kindPeerAuthentication = "PeerAuthentication"
	kindPod                = "Pod"
	kindService            = "Service"
	kindServiceExport      = "ServiceExport"
	kindServiceImport      = "ServiceImport"
)

func problem(kind string, o metav1.Object, field, reason, format string, args ...any) model.Problem {
	return problemOf(kind, key{o.GetNamespace(), o.GetName()}, field, reason, format, args...)
}

func problemOf(kind string, k key, field, reason, format string, args ...any) model.Problem {
	return model.Problem{
		Kind: kind, Namespace: k.namespace, Name: k.name,
		Field: field, Reason: reason, Message: fmt.Sprintf(format, args...),
	}
}

func compareProblems(a, b model.Problem) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Field, b.Field), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
}

// ordered sorts problems and says each one once: the same conflict is met by
// every pod that it touches.
func ordered(problems []model.Problem) []model.Problem {
	slices.SortFunc(problems, compareProblems)
	return slices.Compact(problems)
}
