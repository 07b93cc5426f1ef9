// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// From is a source of requests, as AuthorizationPolicy has it.
type From struct {
	// source that must match.
	Source Source `json:"source"`
}

// To is an operation, as AuthorizationPolicy has it.
type To struct {
	// operation that must match.
	Operation Operation `json:"operation"`
}

// Source of a request; everything in it must match. A value is exact, "prefix*",
// "*suffix" or "*" (there is one).
type Source struct {
	// principals are identities in the mesh, without spiffe://.
	// +optional
	Principals Values `json:"principals,omitempty"`
	// notPrincipals that it must not be.
	// +optional
	NotPrincipals Values `json:"notPrincipals,omitempty"`
	// requestPrincipals are <issuer>/<subject> of verified tokens.
	// +optional
	RequestPrincipals Values `json:"requestPrincipals,omitempty"`
	// notRequestPrincipals that it must not be.
	// +optional
	NotRequestPrincipals Values `json:"notRequestPrincipals,omitempty"`
	// namespaces of callers in the mesh.
	// +optional
	Namespaces Values `json:"namespaces,omitempty"`
	// notNamespaces that it must not be in.
	// +optional
	NotNamespaces Values `json:"notNamespaces,omitempty"`
	// serviceAccounts, <namespace>/<name>, or the name alone in the policy's namespace.
	// +optional
	ServiceAccounts Values `json:"serviceAccounts,omitempty"`
	// notServiceAccounts that it must not be.
	// +optional
	NotServiceAccounts Values `json:"notServiceAccounts,omitempty"`
	// trustDomains of callers in the mesh.
	// +optional
	TrustDomains Values `json:"trustDomains,omitempty"`
	// notTrustDomains that it must not be of.
	// +optional
	NotTrustDomains Values `json:"notTrustDomains,omitempty"`
	// ipBlocks that the connection comes from: 203.0.113.4 or 203.0.113.0/24.
	// +optional
	IPBlocks Values `json:"ipBlocks,omitempty"`
	// notIpBlocks that it must not come from.
	// +optional
	NotIPBlocks Values `json:"notIpBlocks,omitempty"`
	// remoteIpBlocks that the client is in, behind trusted proxies too.
	// +optional
	RemoteIPBlocks Values `json:"remoteIpBlocks,omitempty"`
	// notRemoteIpBlocks that the client must not be in.
	// +optional
	NotRemoteIPBlocks Values `json:"notRemoteIpBlocks,omitempty"`
}

// Operation of a request; everything in it must match. A value is exact,
// "prefix*", "*suffix" or "*" (there is one).
type Operation struct {
	// hosts that are called.
	// +optional
	Hosts Values `json:"hosts,omitempty"`
	// notHosts that must not be called.
	// +optional
	NotHosts Values `json:"notHosts,omitempty"`
	// ports of the workload.
	// +optional
	Ports Values `json:"ports,omitempty"`
	// notPorts that it must not be.
	// +optional
	NotPorts Values `json:"notPorts,omitempty"`
	// methods of HTTP; of gRPC it is POST.
	// +optional
	Methods Values `json:"methods,omitempty"`
	// notMethods that it must not be.
	// +optional
	NotMethods Values `json:"notMethods,omitempty"`
	// paths, which may have {*} for one segment and {**} for the rest.
	// +optional
	Paths Values `json:"paths,omitempty"`
	// notPaths that it must not be.
	// +optional
	NotPaths Values `json:"notPaths,omitempty"`
}

// Condition on an attribute of a request, as AuthorizationPolicy has it.
type Condition struct {
	// key is one of the keys of AuthorizationPolicy's conditions, such as
	// request.headers[name], request.auth.claims[name] or source.namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Key string `json:"key"`
	// values: one must match.
	// +optional
	Values Values `json:"values,omitempty"`
	// notValues: none must match.
	// +optional
	NotValues Values `json:"notValues,omitempty"`
}

// Values of one field.
//
// +kubebuilder:validation:MaxItems=64
// +listType=atomic
type Values []Value

// Value of a field.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=4096
type Value string
