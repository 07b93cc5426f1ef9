// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshMember is one cluster of a federation.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mm,categories=isthmesh
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Network",type=string,JSONPath=`.status.network`
// +kubebuilder:printcolumn:name="Gateway",type=string,JSONPath=`.status.gateway.summary`
// +kubebuilder:printcolumn:name="Exported",type=integer,JSONPath=`.status.sync.exportedServices`
// +kubebuilder:printcolumn:name="Imported",type=integer,JSONPath=`.status.sync.importedServices`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Kubernetes",type=string,priority=1,JSONPath=`.status.kubernetesVersion`
// +kubebuilder:printcolumn:name="CA-Expires",type=string,priority=1,JSONPath=`.status.trust.intermediateNotAfter`
// +kubebuilder:printcolumn:name="Status",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name is the cluster's name in the mesh and part of its trust domain: at most 63 lower-case letters, digits and dashes"
type MeshMember struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MeshMemberSpec   `json:"spec"`
	Status MeshMemberStatus `json:"status,omitempty"`
}

// MeshMemberSpec says which cluster it is and how it takes part.
//
// +kubebuilder:validation:XValidation:rule="[has(self.kubeconfigSecretRef), has(self.clusterRef)].filter(x, x).size() == 1",message="set exactly one of kubeconfigSecretRef and clusterRef"
type MeshMemberSpec struct {
	// kubeconfigSecretRef names a Secret of this namespace that holds a kubeconfig
	// under the key "kubeconfig" or "value".
	// +optional
	KubeconfigSecretRef *LocalObjectReference `json:"kubeconfigSecretRef,omitempty"`
	// clusterRef names a Cluster API Cluster of this namespace, whose kubeconfig
	// is in the Secret <cluster>-kubeconfig.
	// +optional
	ClusterRef *LocalObjectReference `json:"clusterRef,omitempty"`
	// network is the name of the pod network. Members of one network reach each
	// other's pods directly. It defaults to the member's name.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$`
	Network string `json:"network,omitempty"`
	// locality of the cluster, for workloads whose nodes tell none.
	// +optional
	Locality Locality `json:"locality,omitempty"`
	// traffic says whether other members send traffic here.
	// +optional
	// +kubebuilder:default=Active
	// +kubebuilder:validation:Enum=Active;Cordoned;Draining
	Traffic TrafficState `json:"traffic,omitempty"`
	// gateway overrides how the east-west gateway is reached.
	// +optional
	Gateway MemberGateway `json:"gateway,omitempty"`
	// deletionPolicy says what becomes of what was installed in the cluster when this object goes.
	// +optional
	// +kubebuilder:default=Delete
	// +kubebuilder:validation:Enum=Delete;Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// unreachableTimeout bounds how long a deletion waits for a cluster that
	// can't be reached; then the object goes and an event says what is left. Two minutes by default.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="unreachableTimeout must not be negative"
	UnreachableTimeout *metav1.Duration `json:"unreachableTimeout,omitempty"`
}

// TrafficState of a member.
type TrafficState string

// The traffic states of a member: Cordoned keeps other members' traffic away
// while its workloads still call out; Draining does so and is on the way out.
const (
	TrafficActive   TrafficState = "Active"
	TrafficCordoned TrafficState = "Cordoned"
	TrafficDraining TrafficState = "Draining"
)

// DeletionPolicy of a member.
type DeletionPolicy string

// The deletion policies.
const (
	DeletionPolicyDelete DeletionPolicy = "Delete"
	DeletionPolicyRetain DeletionPolicy = "Retain"
)

// Locality of a cluster.
type Locality struct {
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Region string `json:"region,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Zone string `json:"zone,omitempty"`
}

// MemberGateway overrides how a member's east-west gateway is reached.
type MemberGateway struct {
	// addresses, IPs or DNS names, instead of what the gateway's Service tells.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*)$`
	// +listType=set
	Addresses []string `json:"addresses,omitempty"`
	// port at those addresses; the federation's port by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// MeshMemberStatus is what was seen.
type MeshMemberStatus struct {
	// observedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// federation that the member belongs to.
	// +optional
	Federation string `json:"federation,omitempty"`
	// clusterUID is the UID of the cluster's kube-system namespace: two members can't be one cluster.
	// +optional
	ClusterUID string `json:"clusterUID,omitempty"`
	// kubernetesVersion of the cluster.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// network in effect.
	// +optional
	Network string `json:"network,omitempty"`
	// trustDomain of the member's identities.
	// +optional
	TrustDomain string `json:"trustDomain,omitempty"`
	// gateway is where other members reach this one.
	// +optional
	Gateway GatewayStatus `json:"gateway,omitempty"`
	// trust tells of the member's intermediate CA.
	// +optional
	Trust MemberTrustStatus `json:"trust,omitempty"`
	// sync tells of the services that go to and come from the hub.
	// +optional
	Sync SyncStatus `json:"sync,omitempty"`
}

// GatewayStatus tells where an east-west gateway is.
type GatewayStatus struct {
	// summary is the first address and its port, and how many more there are.
	// +optional
	Summary string `json:"summary,omitempty"`
	// addresses with ports, sorted.
	// +optional
	// +listType=atomic
	Addresses []string `json:"addresses,omitempty"`
	// unreached are those that gateways of other members check in vain.
	// +optional
	// +listType=map
	// +listMapKey=address
	Unreached []UnreachedGateway `json:"unreached,omitempty"`
}

// UnreachedGateway is an address of a gateway that other members don't reach.
type UnreachedGateway struct {
	// address with its port.
	Address string `json:"address"`
	// from these members, sorted, at most ten of them.
	// +optional
	// +listType=atomic
	From []string `json:"from,omitempty"`
}

// MemberTrustStatus tells of an intermediate CA.
type MemberTrustStatus struct {
	// intermediateSerial is the serial number of the newest intermediate, in hex.
	// +optional
	IntermediateSerial string `json:"intermediateSerial,omitempty"`
	// previousSerial is the serial number of the one before, which is good until
	// all replicas of the control plane have the newest.
	// +optional
	PreviousSerial string `json:"previousSerial,omitempty"`
	// rootFingerprint is the SHA-256 of the root that signed it.
	// +optional
	RootFingerprint string `json:"rootFingerprint,omitempty"`
	// intermediateNotAfter is when it expires.
	// +optional
	IntermediateNotAfter *metav1.Time `json:"intermediateNotAfter,omitempty"`
	// enrolmentTokenHash is the SHA-256 of the enrolment token that is still good, if any.
	// +optional
	EnrolmentTokenHash string `json:"enrolmentTokenHash,omitempty"`
	// enrolmentTokenNotAfter is when that token expires.
	// +optional
	EnrolmentTokenNotAfter *metav1.Time `json:"enrolmentTokenNotAfter,omitempty"`
	// enrolledAt is when the member last enrolled with a token.
	// +optional
	EnrolledAt *metav1.Time `json:"enrolledAt,omitempty"`
}

// SyncStatus tells of the stream between a member and the hub.
type SyncStatus struct {
	// connected control plane replicas.
	// +optional
	// +kubebuilder:default=0
	Connected int32 `json:"connected"`
	// exportedServices that this member offers and the hub accepts.
	// +optional
	// +kubebuilder:default=0
	ExportedServices int32 `json:"exportedServices"`
	// importedServices that this member holds.
	// +optional
	// +kubebuilder:default=0
	ImportedServices int32 `json:"importedServices"`
	// refusedExports names exports that the federation's rules refuse, sorted, "namespace/name", at most ten.
	// +optional
	// +listType=atomic
	RefusedExports []string `json:"refusedExports,omitempty"`
}

// MeshMemberList is a list of MeshMembers.
//
// +kubebuilder:object:root=true
type MeshMemberList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []MeshMember `json:"items"`
}
