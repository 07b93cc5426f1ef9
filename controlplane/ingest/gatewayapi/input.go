// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	networking "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is all that the Gateway API's part of a mesh is made of. The objects
// need metadata (with generation, labels and annotations) and spec. Nothing in
// it is modified; the order within a slice means nothing.
type Input struct {
	GatewayClasses     []*gateway.GatewayClass
	Gateways           []*gateway.Gateway
	ListenerSets       []*gateway.ListenerSet
	HTTPRoutes         []*gateway.HTTPRoute
	GRPCRoutes         []*gateway.GRPCRoute
	TLSRoutes          []*gateway.TLSRoute
	TCPRoutes          []*gateway.TCPRoute
	UDPRoutes          []*gateway.UDPRoute
	ReferenceGrants    []*gatewayv1beta1.ReferenceGrant
	BackendTLSPolicies []*gateway.BackendTLSPolicy
	Namespaces         []*corev1.Namespace
	Services           []*corev1.Service
	// ServiceEntries are parents, too, as in Istio.
	ServiceEntries []*networking.ServiceEntry
	// ServiceImports are backends too.
	ServiceImports []*mcs.ServiceImport
	// Hostnames of all services of the mesh, sorted: Istio's kind Hostname as a
	// backend names one of these. Nil knows none.
	Hostnames []model.Hostname
	// Credentials that Output.References asked for, as far as they were read.
	Credentials []*model.Credential
	Settings    *model.Settings
}

// Output of Build. It is immutable, and shares with the previous one what did not change.
type Output struct {
	Gateways []*model.Gateway
	Routings []*model.Routing
	Policies []*model.DestinationPolicy
	// References are the Secrets and ConfigMaps that the objects lean on and may
	// read, sorted by namespace, name and kind: Input.Credentials should hold them.
	References []model.CredentialRef
	Statuses   *Statuses
	Problems   []model.Problem
}
