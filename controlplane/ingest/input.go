// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	extensionsv1alpha1 "istio.io/client-go/pkg/apis/extensions/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	networkingalpha "istio.io/client-go/pkg/apis/networking/v1alpha3"
	networkingbeta "istio.io/client-go/pkg/apis/networking/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"
	telemetry "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	k8snetworking "k8s.io/api/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	policyv1alpha1 "github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest/entries"
	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is everything that a mesh is made of. Nothing in it is modified, and
// nobody may modify it once it was given to Build. The order within a slice
// means nothing, but slices sorted by namespace and name are compared fastest,
// and a slice that is the same one as in the last Input is not looked at.
type Input struct {
	Services            []*corev1.Service
	EndpointSlices      []*discoveryv1.EndpointSlice
	Pods                []*corev1.Pod
	Nodes               []*corev1.Node
	Namespaces          []*corev1.Namespace
	PeerAuthentications []*security.PeerAuthentication
	ServiceExports      []*mcs.ServiceExport
	ServiceImports      []*mcs.ServiceImport
	Ingresses           []*k8snetworking.Ingress
	IngressClasses      []*k8snetworking.IngressClass
	Istio               Istio
	GatewayAPI          GatewayAPI
	RateLimitPolicies   []*policyv1alpha1.RateLimitPolicy
	// Credentials are the Secrets and ConfigMaps that gateways refer to, as far
	// as they were found; sorted as in model.Mesh.
	Credentials []*model.Credential
	// JWKS are the key sets of RequestAuthentications that were fetched, by URI.
	// Another map means other key sets.
	JWKS map[string]string
	// JWKSFailures say why an address has no key set, or still an old one.
	JWKSFailures map[string]string
	// Modules of WasmPlugins that were fetched, by what was wanted. Another map
	// means other modules.
	Modules map[extensions.Wanted]*model.WasmModule
	// ModuleFailures say why a module isn't there, or is still an old one.
	ModuleFailures map[extensions.Wanted]string
	// MeshConfig is the YAML in ConfigMap istio, key mesh; empty when there is none.
	MeshConfig string
	// MeshConfigName is the ConfigMap's name, for Problems; "istio" when empty.
	MeshConfigName string
	// Imports is what other members export; nil when the hub was never heard.
	Imports *model.Imports
	// Unreached are the gateways of other members that don't answer, sorted. One
	// that Imports doesn't name means nothing.
	Unreached []model.RemoteGateway
	// Settings are those of the installation (flags). MeshConfig adds to them;
	// AutoMTLS is MeshConfig's alone and on unless that turns it off.
	Settings model.Settings
}

// Istio are the objects of Istio's API.
type Istio struct {
	VirtualServices        []*networking.VirtualService
	DestinationRules       []*networking.DestinationRule
	Gateways               []*networking.Gateway
	ServiceEntries         []*networking.ServiceEntry
	Sidecars               []*networking.Sidecar
	WorkloadEntries        []*networking.WorkloadEntry
	WorkloadGroups         []*networking.WorkloadGroup
	ProxyConfigs           []*networkingbeta.ProxyConfig
	EnvoyFilters           []*networkingalpha.EnvoyFilter
	AuthorizationPolicies  []*security.AuthorizationPolicy
	RequestAuthentications []*security.RequestAuthentication
	WasmPlugins            []*extensionsv1alpha1.WasmPlugin
	TrafficExtensions      []*extensionsv1alpha1.TrafficExtension
	Telemetries            []*telemetry.Telemetry
}

// GatewayAPI are the objects of the Kubernetes Gateway API.
type GatewayAPI struct {
	GatewayClasses     []*gatewayv1.GatewayClass
	Gateways           []*gatewayv1.Gateway
	ListenerSets       []*gatewayv1.ListenerSet
	HTTPRoutes         []*gatewayv1.HTTPRoute
	GRPCRoutes         []*gatewayv1.GRPCRoute
	TLSRoutes          []*gatewayv1.TLSRoute
	TCPRoutes          []*gatewayv1.TCPRoute
	UDPRoutes          []*gatewayv1.UDPRoute
	ReferenceGrants    []*gatewaybeta.ReferenceGrant
	BackendTLSPolicies []*gatewayv1.BackendTLSPolicy
}

// Result is a mesh and what the next Build needs in order to share with it.
// It is immutable.
type Result struct {
	Mesh *model.Mesh

	services   table[*corev1.Service]
	slices     table[*discoveryv1.EndpointSlice]
	pods       table[*corev1.Pod]
	nodes      table[*corev1.Node]
	namespaces table[*corev1.Namespace]
	policies   table[*security.PeerAuthentication]
	exports    table[*mcs.ServiceExport]
	custom     custom

	settings  *settings
	narrowing narrowing
	rules     *policies
	imports   *imports
	// distribution is the namespaces' annotation of traffic distribution.
	distribution map[string]string

	configuration configuration

	rows    serviceRows
	podRows podRows

	// machines are the WorkloadEntries, decorations the names that ServiceEntries
	// add to Services, and entries the services that they define.
	machines    *entries.Machines
	decorations map[key][]string
	entries     *entries.Output
	// clashes are the Problems of machines that have a pod's name.
	clashes []model.Problem
	// local are the services of the rows, sorted by hostname.
	local []model.ServiceState
}

// The ConfigMap that holds MeshConfig, in the control plane's namespace, and
// its key. A revision has one of its own: istio-<revision>.
const (
	MeshConfigMap = "istio"
	MeshConfigKey = "mesh"
)

// dryRunAnnotation makes an AuthorizationPolicy decide nothing (Istio's annotation).
const dryRunAnnotation = "istio.io/dry-run"

// MalformedAnnotation is put by informers on an object that the API server has
// and that can't be read: its value says why, and its spec is empty. An object
// that comes with it is left out and told as a Problem.
const MalformedAnnotation = "federation.isthmesh.dev/malformed"
