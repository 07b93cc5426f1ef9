// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RateLimitPolicy bounds how many requests its workloads, or a gateway, take in a
// time. Requests beyond a limit are refused with 429 before they reach the
// workload. Requests that authentication or authorization refuses aren't counted.
// Of several policies for one workload all hold: a request is refused when any limit is used up.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=ratelimitpolicies,shortName=rlp,categories=isthmesh
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Scope",type=string,JSONPath=`.spec.scope`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].message`
type RateLimitPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   RateLimitPolicySpec   `json:"spec"`
	Status RateLimitPolicyStatus `json:"status,omitempty"`
}

// RateLimitPolicyList is a list of RateLimitPolicies.
//
// +kubebuilder:object:root=true
type RateLimitPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RateLimitPolicy `json:"items"`
}

// RateLimitPolicySpec says what is limited, and how.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.selector) && has(self.targetRefs))",message="selector and targetRefs exclude each other; remove one of them"
// +kubebuilder:validation:XValidation:rule="(has(self.scope) && self.scope == 'Mesh') == has(self.service)",message="scope Mesh counts at a service, and scope Pod doesn't; set scope Mesh together with service, or neither"
// +kubebuilder:validation:XValidation:rule="!has(self.maxCounters) || !has(self.scope) || self.scope == 'Pod'",message="maxCounters is for scope Pod: of scope Mesh the service keeps the counters; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.scope) || self.scope == 'Pod' || self.rules.all(r, !has(r.limit.burst))",message="a burst is for scope Pod: of scope Mesh the service counts by whole units of time; remove limit.burst"
type RateLimitPolicySpec struct {
	// selector chooses workloads of the policy's namespace by their labels; in the
	// root namespace, of all namespaces. Without selector and targetRefs the
	// policy is for all workloads there.
	// +optional
	Selector *WorkloadSelector `json:"selector,omitempty"`
	// targetRefs name objects of the policy's namespace, instead of a selector: a
	// Gateway limits what its proxies take, a Service what its workloads take on its ports.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	TargetRefs []TargetReference `json:"targetRefs,omitempty"`
	// scope is who counts. Pod, the default: each proxy by itself, so three pods
	// take three times the limit. Mesh: all of them together, at the service.
	// +optional
	// +kubebuilder:default=Pod
	// +kubebuilder:validation:Enum=Pod;Mesh
	Scope Scope `json:"scope,omitempty"`
	// mode is Enforce, the default, or Shadow: then all is counted, in the proxies'
	// metrics too, and nothing is refused.
	// +optional
	// +kubebuilder:default=Enforce
	// +kubebuilder:validation:Enum=Enforce;Shadow
	Mode Mode `json:"mode,omitempty"`
	// rules are the limits. A request counts for each rule that matches it, and is
	// refused when any of them is used up. What no rule matches isn't limited.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Rules []Rule `json:"rules"`
	// service counts for scope Mesh.
	// +optional
	Service *CountingService `json:"service,omitempty"`
	// maxCounters is how many values of the keys of each rule a proxy remembers in
	// scope Pod, 10000 by default. Of more, the one that was not seen for the
	// longest time is forgotten, and its count begins anew.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MaxCounters *int32 `json:"maxCounters,omitempty"`
	// response is what callers are answered whose requests are refused.
	// +optional
	Response *Response `json:"response,omitempty"`
}

// WorkloadSelector chooses workloads.
type WorkloadSelector struct {
	// matchLabels that a workload must have, all of them; at least one, and no wildcards.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	MatchLabels map[string]string `json:"matchLabels"`
}

// TargetReference names an object of the policy's namespace.
//
// +kubebuilder:validation:XValidation:rule="(self.kind == 'Gateway' && has(self.group) && self.group == 'gateway.networking.k8s.io') || (self.kind == 'Service' && (!has(self.group) || size(self.group) == 0 || self.group == 'core'))",message="a target is a Gateway of group gateway.networking.k8s.io or a Service of the core group"
type TargetReference struct {
	// group of the object: gateway.networking.k8s.io for a Gateway, none for a Service.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// kind of the object: Gateway or Service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Scope is who counts.
type Scope string

// The scopes.
const (
	ScopePod  Scope = "Pod"
	ScopeMesh Scope = "Mesh"
)

// Mode of a policy.
type Mode string

// The modes.
const (
	Enforce Mode = "Enforce"
	Shadow  Mode = "Shadow"
)

// Rule is a limit for the requests that it matches. from, to and when are those of
// AuthorizationPolicy (security.istio.io/v1) and mean the same; a rule without them matches all requests.
type Rule struct {
	// name of the rule in the policy; metrics of the counting service have it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// from: one of these sources must match; none is any source.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	From []From `json:"from,omitempty"`
	// to: one of these operations must match; none is any operation.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	To []To `json:"to,omitempty"`
	// when: all of these conditions must match.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	When []Condition `json:"when,omitempty"`
	// limit of each counter.
	Limit Limit `json:"limit"`
	// keys are what a request is counted by: requests that differ in one of them
	// have counters of their own. Without keys there is one counter for all. A key is one of
	// source.principal (the caller's identity in the mesh), remote.ip (the
	// client's address, behind trusted proxies too), request.path (without its query),
	// request.method, request.host, request.headers[name] and
	// request.auth.claims[name] (of a verified token, text only). Requests that don't have what a key
	// asks for share a counter.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	Keys []Key `json:"keys,omitempty"`
}

// Key is what requests are counted by.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:Pattern=`^(source\.principal|remote\.ip|request\.(path|method|host)|request\.headers\[[^\[\]]+\]|request\.auth\.claims(\[[^\[\]]+\])+)$`
type Key string

// Limit of a counter.
type Limit struct {
	// requests that are let pass in the time that per names.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	Requests int32 `json:"requests"`
	// per is the time: Second, Minute, Hour or Day. In scope Pod the requests come
	// back evenly over that time; in scope Mesh as the service has it, mostly all at its end.
	// +kubebuilder:validation:Enum=Second;Minute;Hour;Day
	Per Unit `json:"per"`
	// burst is how many requests may come at once after a time without any, in
	// scope Pod; it defaults to requests.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	Burst *int32 `json:"burst,omitempty"`
}

// Unit of time.
type Unit string

// The units.
const (
	Second Unit = "Second"
	Minute Unit = "Minute"
	Hour   Unit = "Hour"
	Day    Unit = "Day"
)

// CountingService is a service that speaks Envoy's rate limit protocol
// (envoy.service.ratelimit.v3), such as github.com/envoyproxy/ratelimit. It is told the
// limit with each question, so it needs no configuration of limits but to know the domain.
type CountingService struct {
	// host of the service, as services of the mesh are called: ratelimit.platform.svc.cluster.local.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host"`
	// port of the service, which speaks gRPC.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// domain that the service is asked in; isthmesh by default.
	// +optional
	// +kubebuilder:default=isthmesh
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Domain string `json:"domain,omitempty"`
	// failureMode says what becomes of requests while the service can't be asked.
	// Allow, the default: they pass. Deny: they are answered 503.
	// +optional
	// +kubebuilder:default=Allow
	// +kubebuilder:validation:Enum=Allow;Deny
	FailureMode FailureMode `json:"failureMode,omitempty"`
	// timeout of a question, 100ms by default; after it failureMode holds.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('10s')",message="timeout must be between 1ms and 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// FailureMode says what becomes of requests when nobody counts.
type FailureMode string

// The failure modes.
const (
	FailureAllow FailureMode = "Allow"
	FailureDeny  FailureMode = "Deny"
)

// Response to a request that is refused. Calls of gRPC get RESOURCE_EXHAUSTED.
type Response struct {
	// status, 429 by default; one that HTTP defines for refusals and errors.
	// +optional
	// +kubebuilder:validation:Enum=400;401;402;403;404;405;406;407;408;409;410;411;412;413;414;415;416;417;421;422;423;424;426;428;429;431;500;501;502;503;504;505;506;507;508;510;511
	Status *int32 `json:"status,omitempty"`
	// headers of responses to requests that are refused. Retry-After is there with status 429.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Headers []Header `json:"headers,omitempty"`
	// rateLimitHeaders, None by default: with DraftVersion03 all responses to
	// requests that a rule matches have X-RateLimit-Limit, -Remaining and -Reset
	// (draft-polli-ratelimit-headers-03), which tell callers the limits.
	// +optional
	// +kubebuilder:default=None
	// +kubebuilder:validation:Enum=None;DraftVersion03
	RateLimitHeaders RateLimitHeaders `json:"rateLimitHeaders,omitempty"`
}

// RateLimitHeaders of responses.
type RateLimitHeaders string

// What there is of them.
const (
	HeadersNone    RateLimitHeaders = "None"
	HeadersDraft03 RateLimitHeaders = "DraftVersion03"
)

// Header of a response.
type Header struct {
	// name of the header.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9!#$%&'*+\-.^_|~]+$`
	Name string `json:"name"`
	// value of the header, as it is.
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value"`
}

// RateLimitPolicyStatus is what the mesh makes of a policy.
type RateLimitPolicyStatus struct {
	// observedGeneration is the generation of the spec that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Accepted tells whether the policy can be used as it is,
	// Programmed whether there are proxies that have it and none that refuses it.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
