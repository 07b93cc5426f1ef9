// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshFederation makes the member clusters that it selects one mesh under one root of trust.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mf,categories=isthmesh
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Members",type=string,JSONPath=`.status.members.summary`
// +kubebuilder:printcolumn:name="Services",type=integer,JSONPath=`.status.exportedServices`
// +kubebuilder:printcolumn:name="Trust-Domain",type=string,JSONPath=`.spec.trust.domain`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Root-Expires",type=string,priority=1,JSONPath=`.status.trust.rootNotAfter`
// +kubebuilder:printcolumn:name="Status",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type MeshFederation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MeshFederationSpec   `json:"spec"`
	Status MeshFederationStatus `json:"status,omitempty"`
}

// MeshFederationSpec is what the platform team wants.
//
// +kubebuilder:validation:XValidation:rule="has(self.meshID) == has(oldSelf.meshID) && (!has(self.meshID) || self.meshID == oldSelf.meshID)",message="meshID is immutable: make a new MeshFederation instead"
type MeshFederationSpec struct {
	// meshID names the mesh in telemetry and node metadata. It defaults to the object's name.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	MeshID string `json:"meshID,omitempty"`
	// trust says under which root and in which trust domains identities are issued.
	Trust Trust `json:"trust"`
	// memberSelector selects the MeshMembers of this namespace that belong to
	// the federation. An empty selector selects all of them.
	// +optional
	MemberSelector metav1.LabelSelector `json:"memberSelector,omitempty"`
	// controlPlane configures the control plane that is installed into each member.
	// +optional
	ControlPlane Component `json:"controlPlane,omitempty"`
	// eastWestGateway configures the gateway between networks of each member.
	// +optional
	// +kubebuilder:default={}
	EastWestGateway EastWestGateway `json:"eastWestGateway,omitempty"`
	// exports says which namespaces members may export services from.
	// +optional
	Exports Exports `json:"exports,omitempty"`
}

// Trust of a federation.
//
// +kubebuilder:validation:XValidation:rule="self.domain == oldSelf.domain",message="trust.domain is immutable: identities of running workloads carry it"
// +kubebuilder:validation:XValidation:rule="self.scope == oldSelf.scope",message="trust.scope is immutable: identities of running workloads depend on it"
type Trust struct {
	// domain is the SPIFFE trust domain of the federation.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=180
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$`
	Domain string `json:"domain"`
	// scope Member gives each member the trust domain <member>.<domain>, and its
	// intermediate CA is constrained to it. Shared gives all members the one domain.
	// +optional
	// +kubebuilder:default=Member
	// +kubebuilder:validation:Enum=Member;Shared
	Scope TrustScope `json:"scope,omitempty"`
	// root says where the root CA comes from. It defaults to selfSigned.
	// +optional
	Root Root `json:"root,omitempty"`
}

// TrustScope says who shares a trust domain.
type TrustScope string

// The scopes of trust domains.
const (
	TrustScopeMember TrustScope = "Member"
	TrustScopeShared TrustScope = "Shared"
)

// Root CA of a federation: at most one of its fields.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.selfSigned) && has(self.secretRef))",message="set one of selfSigned and secretRef, not both"
type Root struct {
	// selfSigned makes a root and keeps it in the Secret <federation>-root-ca.
	// +optional
	SelfSigned *SelfSignedRoot `json:"selfSigned,omitempty"`
	// secretRef names a Secret of type kubernetes.io/tls in this namespace with the root's tls.crt and tls.key.
	// +optional
	SecretRef *LocalObjectReference `json:"secretRef,omitempty"`
}

// SelfSignedRoot is a root that the hub makes itself.
type SelfSignedRoot struct {
	// validity of the root certificate; ten years by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('24h')",message="validity must be at least 24h"
	Validity *metav1.Duration `json:"validity,omitempty"`
}

// LocalObjectReference names an object of the same namespace.
type LocalObjectReference struct {
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Component is something installed from a chart.
type Component struct {
	// values for the chart, as helm --set would give them. A value that the
	// chart doesn't know or of the wrong type is refused.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// EastWestGateway between networks.
type EastWestGateway struct {
	// replicas of the gateway; two by default.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Replicas int32 `json:"replicas,omitempty"`
	// port on which other members reach the gateway, 15443 by default.
	// +optional
	// +kubebuilder:default=15443
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// serviceType of the gateway's Service.
	// +optional
	// +kubebuilder:default=LoadBalancer
	// +kubebuilder:validation:Enum=LoadBalancer;NodePort
	ServiceType string `json:"serviceType,omitempty"`
	// healthCheck says how the gateways of members on different networks check each other.
	// +optional
	// +kubebuilder:default={}
	HealthCheck GatewayHealthCheck `json:"healthCheck,omitzero"`
	// values for the gateway chart.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// GatewayHealthCheck says how each member's east-west gateways find out which
// gateways of other networks answer. One that doesn't gets no traffic from the
// member as long as another endpoint of the service is left.
//
// +kubebuilder:validation:XValidation:rule="!has(self.interval) || !has(self.timeout) || duration(self.timeout) < duration(self.interval)",message="timeout must be less than interval"
type GatewayHealthCheck struct {
	// disabled makes no checks, and answers none; then only the callers' own
	// observation takes a gateway out of use.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
	// interval is the longest time from the beginning of a check to that of the next; 2s by
	// default. A gateway that stops answering is out of use after interval times unhealthyThreshold, and at most a second more.
	// +optional
	// +kubebuilder:default="2s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('200ms') && duration(self) <= duration('5m')",message="interval must be between 200ms and 5m"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// timeout of a check; 1s by default. It takes a TLS handshake and a request, three round trips in all.
	// +optional
	// +kubebuilder:default="1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('50ms') && duration(self) <= duration('1m')",message="timeout must be between 50ms and 1m"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// unhealthyThreshold is how many checks in a row fail before a gateway is out of use; 2 by default.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20
	UnhealthyThreshold int32 `json:"unhealthyThreshold,omitempty"`
	// healthyThreshold is how many checks in a row succeed before it is in use again; 3 by default.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20
	HealthyThreshold int32 `json:"healthyThreshold,omitempty"`
}

// Exports says what members may export. Without rules every member may export
// from every namespace but kube-* and the mesh's own; a ServiceExport is still needed.
type Exports struct {
	// rules: an export is allowed when one of them allows it.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	Rules []ExportRule `json:"rules,omitempty"`
}

// ExportRule allows some members to export some namespaces.
type ExportRule struct {
	// members by name; empty means all.
	// +optional
	// +kubebuilder:validation:MaxItems=1000
	// +listType=set
	Members []string `json:"members,omitempty"`
	// namespaces by name; "*" means all but kube-*, which must be named; kube-system and istio-system are never exported.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +listType=set
	Namespaces []string `json:"namespaces"`
}

// MeshFederationStatus is what was seen.
type MeshFederationStatus struct {
	// observedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// members counts the members.
	// +optional
	Members MemberCount `json:"members,omitempty"`
	// exportedServices is the number of services that at least one member exports.
	// +optional
	// +kubebuilder:default=0
	ExportedServices int32 `json:"exportedServices,omitempty"`
	// hubAddress is where members reach the hub.
	// +optional
	HubAddress string `json:"hubAddress,omitempty"`
	// trust tells of the root.
	// +optional
	Trust TrustStatus `json:"trust,omitempty"`
}

// MemberCount of a federation.
type MemberCount struct {
	// summary is "<ready>/<total>".
	// +optional
	Summary string `json:"summary,omitempty"`
	// ready members.
	// +optional
	// +kubebuilder:default=0
	Ready int32 `json:"ready"`
	// total members selected.
	// +optional
	// +kubebuilder:default=0
	Total int32 `json:"total"`
	// notReady names members that aren't ready, sorted, at most ten of them.
	// +optional
	// +listType=atomic
	NotReady []string `json:"notReady,omitempty"`
}

// TrustStatus tells of a CA certificate.
type TrustStatus struct {
	// rootFingerprint is the SHA-256 of the root certificate.
	// +optional
	RootFingerprint string `json:"rootFingerprint,omitempty"`
	// rootNotAfter is when the root expires.
	// +optional
	RootNotAfter *metav1.Time `json:"rootNotAfter,omitempty"`
}

// MeshFederationList is a list of MeshFederations.
//
// +kubebuilder:object:root=true
type MeshFederationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []MeshFederation `json:"items"`
}
