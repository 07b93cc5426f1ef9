// SPDX-License-Identifier: Apache-2.0

package informers

import (
	extensions "istio.io/client-go/pkg/apis/extensions/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	networkingalpha "istio.io/client-go/pkg/apis/networking/v1alpha3"
	networkingbeta "istio.io/client-go/pkg/apis/networking/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"
	telemetry "istio.io/client-go/pkg/apis/telemetry/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	policy "github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

// addCustom makes the kinds of custom resources, each of them optional. What is
// read of an object is its spec, decoded one by one, so that an object that
// can't be decoded costs nothing but itself.
func (s *Set) addCustom(c Clients) error {
	a := &adder{set: s, client: c.Dynamic}
	custom(a, "networking.istio.io/v1", "virtualservices", func(in *ingest.Input) *[]*networking.VirtualService { return &in.Istio.VirtualServices })
	custom(a, "networking.istio.io/v1", "destinationrules", func(in *ingest.Input) *[]*networking.DestinationRule { return &in.Istio.DestinationRules })
	custom(a, "networking.istio.io/v1", "gateways", func(in *ingest.Input) *[]*networking.Gateway { return &in.Istio.Gateways })
	custom(a, "networking.istio.io/v1", "serviceentries", func(in *ingest.Input) *[]*networking.ServiceEntry { return &in.Istio.ServiceEntries })
	custom(a, "networking.istio.io/v1", "sidecars", func(in *ingest.Input) *[]*networking.Sidecar { return &in.Istio.Sidecars })
	custom(a, "networking.istio.io/v1", "workloadentries", func(in *ingest.Input) *[]*networking.WorkloadEntry { return &in.Istio.WorkloadEntries })
	custom(a, "networking.istio.io/v1", "workloadgroups", func(in *ingest.Input) *[]*networking.WorkloadGroup { return &in.Istio.WorkloadGroups })
	custom(a, "networking.istio.io/v1beta1", "proxyconfigs", func(in *ingest.Input) *[]*networkingbeta.ProxyConfig { return &in.Istio.ProxyConfigs })
	custom(a, "networking.istio.io/v1alpha3", "envoyfilters", func(in *ingest.Input) *[]*networkingalpha.EnvoyFilter { return &in.Istio.EnvoyFilters })
	custom(a, "security.istio.io/v1", "authorizationpolicies", func(in *ingest.Input) *[]*security.AuthorizationPolicy { return &in.Istio.AuthorizationPolicies })
	custom(a, "security.istio.io/v1", "requestauthentications", func(in *ingest.Input) *[]*security.RequestAuthentication { return &in.Istio.RequestAuthentications })
	custom(a, "extensions.istio.io/v1alpha1", "wasmplugins", func(in *ingest.Input) *[]*extensions.WasmPlugin { return &in.Istio.WasmPlugins })
	custom(a, "extensions.istio.io/v1alpha1", "trafficextensions", func(in *ingest.Input) *[]*extensions.TrafficExtension { return &in.Istio.TrafficExtensions })
	custom(a, "telemetry.istio.io/v1", "telemetries", func(in *ingest.Input) *[]*telemetry.Telemetry { return &in.Istio.Telemetries })
	custom(a, "gateway.networking.k8s.io/v1", "gatewayclasses", func(in *ingest.Input) *[]*gatewayv1.GatewayClass { return &in.GatewayAPI.GatewayClasses })
	custom(a, "gateway.networking.k8s.io/v1", "gateways", func(in *ingest.Input) *[]*gatewayv1.Gateway { return &in.GatewayAPI.Gateways })
	custom(a, "gateway.networking.k8s.io/v1", "listenersets", func(in *ingest.Input) *[]*gatewayv1.ListenerSet { return &in.GatewayAPI.ListenerSets })
	custom(a, "gateway.networking.k8s.io/v1", "httproutes", func(in *ingest.Input) *[]*gatewayv1.HTTPRoute { return &in.GatewayAPI.HTTPRoutes })
	custom(a, "gateway.networking.k8s.io/v1", "grpcroutes", func(in *ingest.Input) *[]*gatewayv1.GRPCRoute { return &in.GatewayAPI.GRPCRoutes })
	custom(a, "gateway.networking.k8s.io/v1", "tlsroutes", func(in *ingest.Input) *[]*gatewayv1.TLSRoute { return &in.GatewayAPI.TLSRoutes })
	custom(a, "gateway.networking.k8s.io/v1", "tcproutes", func(in *ingest.Input) *[]*gatewayv1.TCPRoute { return &in.GatewayAPI.TCPRoutes })
	custom(a, "gateway.networking.k8s.io/v1", "udproutes", func(in *ingest.Input) *[]*gatewayv1.UDPRoute { return &in.GatewayAPI.UDPRoutes })
	custom(a, "gateway.networking.k8s.io/v1beta1", "referencegrants", func(in *ingest.Input) *[]*gatewaybeta.ReferenceGrant { return &in.GatewayAPI.ReferenceGrants })
	custom(a, "gateway.networking.k8s.io/v1", "backendtlspolicies", func(in *ingest.Input) *[]*gatewayv1.BackendTLSPolicy { return &in.GatewayAPI.BackendTLSPolicies })
	custom(a, "multicluster.x-k8s.io/v1beta1", "serviceimports", func(in *ingest.Input) *[]*mcs.ServiceImport { return &in.ServiceImports })
	custom(a, "policy.isthmesh.dev/v1alpha1", "ratelimitpolicies", func(in *ingest.Input) *[]*policy.RateLimitPolicy { return &in.RateLimitPolicies })
	return a.failed
}
