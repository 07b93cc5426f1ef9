// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

// In finds objects in what a mesh was made of, whose slices are sorted as
// informers sort them.
func In(in ingest.Input) func(Object) (Seen, bool) {
	return func(o Object) (Seen, bool) {
		switch i := in.Istio; o.Kind {
		case "AuthorizationPolicy":
			return find(i.AuthorizationPolicies, o)
		case "DestinationRule":
			return find(i.DestinationRules, o)
		case "EnvoyFilter":
			return find(i.EnvoyFilters, o)
		case "Gateway":
			return find(i.Gateways, o)
		case "PeerAuthentication":
			return find(in.PeerAuthentications, o)
		case "ProxyConfig":
			return find(i.ProxyConfigs, o)
		case "RateLimitPolicy":
			return find(in.RateLimitPolicies, o)
		case "RequestAuthentication":
			return find(i.RequestAuthentications, o)
		case "ServiceEntry":
			return find(i.ServiceEntries, o)
		case "Sidecar":
			return find(i.Sidecars, o)
		case "Telemetry":
			return find(i.Telemetries, o)
		case "TrafficExtension":
			return find(i.TrafficExtensions, o)
		case "VirtualService":
			return find(i.VirtualServices, o)
		case "WasmPlugin":
			return find(i.WasmPlugins, o)
		case "WorkloadEntry":
			return find(i.WorkloadEntries, o)
		case "WorkloadGroup":
			return find(i.WorkloadGroups, o)
		}
		return ofGatewayAPI(in, o)
	}
}

// gatewayOfAPI is the Gateway API's Gateway, which isn't Istio's.
const gatewayOfAPI = "Gateway.gateway.networking.k8s.io"

// reported are the kinds beside those that get conditions here of which replicas
// tell each other what proxies reject: their statuses are another controller's.
var reported = map[string]bool{
	gatewayOfAPI: true, "ListenerSet": true, "HTTPRoute": true, "GRPCRoute": true, "TLSRoute": true, "TCPRoute": true, "UDPRoute": true,
	"BackendTLSPolicy": true, "RateLimitPolicy": true,
}

func ofGatewayAPI(in ingest.Input, o Object) (Seen, bool) {
	switch g := in.GatewayAPI; o.Kind {
	case gatewayOfAPI:
		return find(g.Gateways, o)
	case "ListenerSet":
		return find(g.ListenerSets, o)
	case "HTTPRoute":
		return find(g.HTTPRoutes, o)
	case "GRPCRoute":
		return find(g.GRPCRoutes, o)
	case "TLSRoute":
		return find(g.TLSRoutes, o)
	case "TCPRoute":
		return find(g.TCPRoutes, o)
	case "UDPRoute":
		return find(g.UDPRoutes, o)
	case "BackendTLSPolicy":
		return find(g.BackendTLSPolicies, o)
	}
	return Seen{}, false
}

// InGatewayAPI tells whether the Gateway API has a Gateway of a name.
func InGatewayAPI(in ingest.Input) func(namespace, name string) bool {
	return func(namespace, name string) bool {
		_, ok := find(in.GatewayAPI.Gateways, Object{Namespace: namespace, Name: name})
		return ok
	}
}

func find[T metav1.Object](sorted []T, o Object) (Seen, bool) {
	i, ok := slices.BinarySearchFunc(sorted, o, func(a T, o Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), o.Namespace), cmp.Compare(a.GetName(), o.Name))
	})
	if !ok {
		return Seen{}, false
	}
	return Seen{UID: string(sorted[i].GetUID()), Generation: sorted[i].GetGeneration()}, true
}
