// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// ControllerName is what GatewayClasses name that are ours: Istio's name, so
// that the classes that people have work.
const ControllerName gateway.GatewayController = "istio.io/gateway-controller"

// ClassNames are the classes that exist from the start.
func ClassNames() []string { return []string{"istio", "isthmesh"} }

// Statuses are what the statuses of the objects are to say, each kind sorted by
// namespace and name. Conditions have no times: who writes them knows when
// they changed. Classes, gateways and sets that are not ours are left out;
// routes and policies are all there, so that what they no longer are can be
// taken back.
type Statuses struct {
	Classes      []*ClassStatus
	Gateways     []*GatewayStatus
	ListenerSets []*ListenerSetStatus
	Routes       []*RouteStatus
	Policies     []*PolicyStatus
}

// Object is what a status belongs to, at the generation that was looked at.
type Object struct {
	Kind, Namespace, Name string
	UID                   string
	Generation            int64
}

// ClassStatus of a GatewayClass.
type ClassStatus struct {
	Object
	Conditions        []metav1.Condition
	SupportedFeatures []gateway.SupportedFeature
}

// GatewayStatus of a Gateway. What depends on the proxies that serve it, which
// is Programmed and the addresses, is for With to add.
type GatewayStatus struct {
	Object
	Conditions           []metav1.Condition
	Listeners            []gateway.ListenerStatus
	AttachedListenerSets int32
	// Deployment that serves it; nil when it is not accepted or another one does.
	Deployment *Deployment
	// Programmed is the fault that already stands against it.
	programmed fault
	// Broken listeners are not programmed whatever the proxies do, by index.
	broken []fault
}

// ListenerSetStatus of a ListenerSet.
type ListenerSetStatus struct {
	Object
	// Gateway that it is for.
	Gateway    Object
	Conditions []metav1.Condition
	Listeners  []gateway.ListenerEntryStatus
	programmed fault
	broken     []fault
}

// RouteStatus of an HTTPRoute, GRPCRoute, TLSRoute, TCPRoute or UDPRoute: what
// it is to each of its parents that is ours.
type RouteStatus struct {
	Object
	Parents []gateway.RouteParentStatus
}

// PolicyStatus of a BackendTLSPolicy: what it is to each Gateway that sends to its targets.
type PolicyStatus struct {
	Object
	Ancestors []gateway.PolicyAncestorStatus
}

// Deployment of proxies that serve one Gateway.
type Deployment struct {
	// Namespace and Gateway name it; UID is the Gateway's, for the owner reference.
	Namespace, Gateway, UID string
	Class                   string
	// Labels and Annotations for everything that is made (spec.infrastructure).
	Labels, Annotations map[string]string
	// Ports of the Service, sorted by number, then protocol.
	Ports []DeploymentPort
	// Addresses that are asked for; empty takes what comes.
	Addresses []string
	// ServiceType: LoadBalancer, NodePort or ClusterIP.
	ServiceType string
	// Existing is the Service "namespace/name" of proxies that somebody else
	// deployed, which addresses of type Hostname name; nothing is made then.
	Existing string
}

// DeploymentPort of the Service; Protocol is TCP or UDP.
type DeploymentPort struct {
	Name     string
	Number   int32
	Protocol string
}
