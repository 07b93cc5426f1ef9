// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Names in the mesh that people and tools meet.
const (
	// Finalizer keeps an object until its cluster is cleaned up.
	Finalizer = "federation.isthmesh.dev/cleanup"
	// ReplaceRootAnnotation on a MeshFederation, with the fingerprint of the root
	// that it has, gives that root up: for the one that its Secret holds now, or
	// for a new one where it is lost. All members enrol again then.
	ReplaceRootAnnotation = "federation.isthmesh.dev/replace-root"
	// EnrolmentSecret in a member tells its control plane how to enrol.
	EnrolmentSecret = "isthmesh-enrolment"
	// SystemNamespace of the mesh in a member.
	SystemNamespace = "istio-system"
)
