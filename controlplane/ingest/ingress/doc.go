// SPDX-License-Identifier: Apache-2.0

// Package ingress turns Ingresses of Kubernetes (networking.k8s.io/v1) into
// gateways and routings of the model, as Istio's ingress controller reads them.
// Package ingest calls it, after the mesh's settings are known. It is pure.
package ingress

import (
	corev1 "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is all that Ingresses' part of a mesh is made of, sorted by namespace
// and name. Nothing in it is modified.
type Input struct {
	Ingresses []*networking.Ingress
	Classes   []*networking.IngressClass
	// Services have the ports that backends name.
	Services []*corev1.Service
	Settings *model.Settings
}

// Output of Build. It is immutable, and shares with the previous one what did not change.
type Output struct {
	Gateways []*model.Gateway
	Routings []*model.Routing
	Problems []model.Problem
	// Served are the Ingresses that are this controller's, as "namespace/name", sorted.
	Served []string
}
