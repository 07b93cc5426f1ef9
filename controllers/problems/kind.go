// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"cmp"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object that gets a condition.
type Object struct{ Kind, Namespace, Name string }

func compareObjects(a, b Object) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Seen is an object as the mesh was made of it.
type Seen struct {
	UID        string
	Generation int64
}

// kind is where the API server has the objects of a kind.
type kind = schema.GroupVersionResource

const (
	networking = "networking.istio.io"
	security   = "security.istio.io"
	extensions = "extensions.istio.io"
)

func of(group, version, resource string) kind {
	return kind{Group: group, Version: version, Resource: resource}
}

// kinds that get conditions: those of Istio's API, in the versions that
// informers read.
var kinds = map[string]kind{
	"AuthorizationPolicy":   of(security, "v1", "authorizationpolicies"),
	"DestinationRule":       of(networking, "v1", "destinationrules"),
	"EnvoyFilter":           of(networking, "v1alpha3", "envoyfilters"),
	"Gateway":               of(networking, "v1", "gateways"),
	"PeerAuthentication":    of(security, "v1", "peerauthentications"),
	"ProxyConfig":           of(networking, "v1beta1", "proxyconfigs"),
	"RequestAuthentication": of(security, "v1", "requestauthentications"),
	"ServiceEntry":          of(networking, "v1", "serviceentries"),
	"Sidecar":               of(networking, "v1", "sidecars"),
	"Telemetry":             of("telemetry.istio.io", "v1", "telemetries"),
	"TrafficExtension":      of(extensions, "v1alpha1", "trafficextensions"),
	"VirtualService":        of(networking, "v1", "virtualservices"),
	"WasmPlugin":            of(extensions, "v1alpha1", "wasmplugins"),
	"WorkloadEntry":         of(networking, "v1", "workloadentries"),
	"WorkloadGroup":         of(networking, "v1", "workloadgroups"),
}
