// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"slices"

	extensions "istio.io/client-go/pkg/apis/extensions/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	networkingalpha "istio.io/client-go/pkg/apis/networking/v1alpha3"
	networkingbeta "istio.io/client-go/pkg/apis/networking/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"
	telemetry "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	k8snetworking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	policy "github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

// versions of a group that are read. They are of one form; the first one that
// has a kind is what it is read as.
var versions = map[string][]string{
	"networking.istio.io":       {"v1", "v1beta1", "v1alpha3"},
	"security.istio.io":         {"v1", "v1beta1"},
	"extensions.istio.io":       {"v1alpha1"},
	"telemetry.istio.io":        {"v1", "v1alpha1"},
	"gateway.networking.k8s.io": {"v1", "v1beta1", "v1alpha3", "v1alpha2"},
	"multicluster.x-k8s.io":     {"v1beta1", "v1alpha1"},
	"networking.k8s.io":         {"v1"},
	"policy.isthmesh.dev":       {"v1alpha1"},
}

// served is the kind that an object is read as: itself where its version is not
// one of those that are read.
func served(gvk schema.GroupVersionKind, scheme *runtime.Scheme) schema.GroupVersionKind {
	if !slices.Contains(versions[gvk.Group], gvk.Version) {
		return gvk
	}
	for _, version := range versions[gvk.Group] {
		if as := gvk.GroupKind().WithVersion(version); scheme.Recognizes(as) {
			return as
		}
	}
	return gvk
}

// Version that objects of a kind are read in; "v1" for those that a mesh is not made of.
func Version(group, kind string) string {
	if k, err := known(); err == nil {
		for _, version := range versions[group] {
			if k.scheme.Recognizes(schema.GroupVersionKind{Group: group, Version: version, Kind: kind}) {
				return version
			}
		}
	}
	return "v1"
}

// newScheme has the kinds that a mesh is made of, each in the version that is read.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(networkingbeta.SchemeGroupVersion, &networkingbeta.ProxyConfig{})
	scheme.AddKnownTypes(networkingalpha.SchemeGroupVersion, &networkingalpha.EnvoyFilter{})
	scheme.AddKnownTypes(schema.GroupVersion(gatewaybeta.GroupVersion), &gatewaybeta.ReferenceGrant{})
	scheme.AddKnownTypes(schema.GroupVersion(gatewayv1.GroupVersion),
		&gatewayv1.GatewayClass{}, &gatewayv1.Gateway{}, &gatewayv1.ListenerSet{}, &gatewayv1.HTTPRoute{}, &gatewayv1.GRPCRoute{},
		&gatewayv1.TLSRoute{}, &gatewayv1.TCPRoute{}, &gatewayv1.UDPRoute{}, &gatewayv1.BackendTLSPolicy{})
	scheme.AddKnownTypes(k8snetworking.SchemeGroupVersion, &k8snetworking.Ingress{}, &k8snetworking.IngressClass{})
	builder := runtime.NewSchemeBuilder(corev1.AddToScheme, discoveryv1.AddToScheme, networking.AddToScheme, security.AddToScheme,
		extensions.AddToScheme, telemetry.AddToScheme, mcs.Install, policy.AddToScheme)
	return scheme, builder.AddToScheme(scheme)
}

// addCustom puts a custom resource into the Input; false when a mesh has no use for its kind.
func addCustom(in *ingest.Input, object runtime.Object) bool {
	i, g := &in.Istio, &in.GatewayAPI
	switch o := object.(type) {
	case *networking.VirtualService:
		i.VirtualServices = append(i.VirtualServices, o)
	case *networking.DestinationRule:
		i.DestinationRules = append(i.DestinationRules, o)
	case *networking.Gateway:
		i.Gateways = append(i.Gateways, o)
	case *networking.ServiceEntry:
		i.ServiceEntries = append(i.ServiceEntries, o)
	case *networking.Sidecar:
		i.Sidecars = append(i.Sidecars, o)
	case *networking.WorkloadEntry:
		i.WorkloadEntries = append(i.WorkloadEntries, o)
	case *networking.WorkloadGroup:
		i.WorkloadGroups = append(i.WorkloadGroups, o)
	case *networkingbeta.ProxyConfig:
		i.ProxyConfigs = append(i.ProxyConfigs, o)
	case *networkingalpha.EnvoyFilter:
		i.EnvoyFilters = append(i.EnvoyFilters, o)
	case *security.AuthorizationPolicy:
		i.AuthorizationPolicies = append(i.AuthorizationPolicies, o)
	case *security.RequestAuthentication:
		i.RequestAuthentications = append(i.RequestAuthentications, o)
	case *extensions.WasmPlugin:
		i.WasmPlugins = append(i.WasmPlugins, o)
	case *extensions.TrafficExtension:
		i.TrafficExtensions = append(i.TrafficExtensions, o)
	case *telemetry.Telemetry:
		i.Telemetries = append(i.Telemetries, o)
	case *gatewayv1.GatewayClass:
		g.GatewayClasses = append(g.GatewayClasses, o)
	case *gatewayv1.Gateway:
		g.Gateways = append(g.Gateways, o)
	case *gatewayv1.ListenerSet:
		g.ListenerSets = append(g.ListenerSets, o)
	case *gatewayv1.HTTPRoute:
		g.HTTPRoutes = append(g.HTTPRoutes, o)
	case *gatewayv1.GRPCRoute:
		g.GRPCRoutes = append(g.GRPCRoutes, o)
	case *gatewayv1.TLSRoute:
		g.TLSRoutes = append(g.TLSRoutes, o)
	case *gatewayv1.TCPRoute:
		g.TCPRoutes = append(g.TCPRoutes, o)
	case *gatewayv1.UDPRoute:
		g.UDPRoutes = append(g.UDPRoutes, o)
	case *gatewayv1.BackendTLSPolicy:
		g.BackendTLSPolicies = append(g.BackendTLSPolicies, o)
	case *gatewaybeta.ReferenceGrant:
		g.ReferenceGrants = append(g.ReferenceGrants, o)
	case *k8snetworking.Ingress:
		in.Ingresses = append(in.Ingresses, o)
	case *k8snetworking.IngressClass:
		in.IngressClasses = append(in.IngressClasses, o)
	case *policy.RateLimitPolicy:
		in.RateLimitPolicies = append(in.RateLimitPolicies, o)
	case *mcs.ServiceImport:
		in.ServiceImports = append(in.ServiceImports, o)
	default:
		return false
	}
	return true
}
