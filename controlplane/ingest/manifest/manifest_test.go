// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

func TestRead(t *testing.T) {
	got, err := manifest.Read([]byte(`
# only a comment
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: web}}
- {apiVersion: v1, kind: Node, metadata: {name: n1}}
---
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: web}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "a: b"}}
---
kind: Imports
members:
- cluster: west
  services: [{namespace: shop, name: db, kind: Headless, ports: [{number: 1}, {number: 2, protocol: TLS, zones: [{zone: z, ready: 2}]}]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Services[0].Namespace != "default" || got.Nodes[0].Namespace != "" || got.ServiceExports[0].Namespace != "default" {
		t.Errorf("namespaces are %q, %q and %q", got.Services[0].Namespace, got.Nodes[0].Namespace, got.ServiceExports[0].Namespace)
	}
	if got.PeerAuthentications[0].Spec.GetMtls().GetMode().String() != "STRICT" {
		t.Errorf("policy is %v", &got.PeerAuthentications[0].Spec)
	}
	if got.MeshConfig != "a: b" {
		t.Errorf("MeshConfig is %q", got.MeshConfig)
	}
	if diff := cmp.Diff([]string{"Deployment shop/web", "ConfigMap default/other"}, got.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	want := &model.Imports{Members: []model.ImportedMember{{Cluster: "west", Services: []*model.Export{{
		Namespace: "shop", Name: "db", Kind: model.Headless,
		Ports: []model.ExportPort{{Number: 1}, {Number: 2, Protocol: model.TLS, Zones: []model.ZoneCount{{Locality: model.Locality{Zone: "z"}, Ready: 2}}}},
	}}}}}
	if diff := cmp.Diff(want, got.Imports); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
}

func TestReadNamesWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"NotYAML":         {"a: {", "document 1"},
		"SecondDocument":  {"{apiVersion: v1, kind: Node, metadata: {name: n1}}\n---\na: [", "document 2"},
		"NoKind":          {"{metadata: {name: x}}", "is no Kubernetes object"},
		"NoName":          {"{apiVersion: v1, kind: Service}", "metadata.name"},
		"UnknownField":    {"{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {portz: []}}", `Service default/web: strict decoding error: unknown field "spec.portz"`},
		"UnknownInIstio":  {"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {http: [{websocketUpgrade: true}]}}", `VirtualService default/web: unknown field "spec.http[0].websocketUpgrade"`},
		"TooDeep":         {"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {hosts: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}}", "nested deeper"},
		"WrongType":       {"{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: 1}}", "Service default/web"},
		"ImportsField":    {"{kind: Imports, members: [{clusterr: x}]}", `unknown field "clusterr"`},
		"ImportsProtocol": {"{kind: Imports, members: [{cluster: w, services: [{name: s, ports: [{number: 1, protocol: HTTP3}]}]}]}", `protocol "HTTP3" is unknown`},
		"ImportsKind":     {"{kind: Imports, members: [{cluster: w, services: [{name: s, kind: Odd}]}]}", `kind "Odd" is unknown`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := manifest.Read([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestReadsEveryVersion has each kind of Istio and the Gateway API in every
// version that its CRD serves.
func TestReadsEveryVersion(t *testing.T) {
	kinds := map[string][]string{
		"networking.istio.io/v1":             {"VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "WorkloadEntry", "WorkloadGroup"},
		"networking.istio.io/v1beta1":        {"VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "WorkloadEntry", "WorkloadGroup", "ProxyConfig"},
		"networking.istio.io/v1alpha3":       {"VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "WorkloadEntry", "WorkloadGroup", "EnvoyFilter"},
		"security.istio.io/v1":               {"AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication"},
		"security.istio.io/v1beta1":          {"AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication"},
		"telemetry.istio.io/v1alpha1":        {"Telemetry"},
		"telemetry.istio.io/v1":              {"Telemetry"},
		"extensions.istio.io/v1alpha1":       {"WasmPlugin", "TrafficExtension"},
		"gateway.networking.k8s.io/v1":       {"GatewayClass", "Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "BackendTLSPolicy", "ReferenceGrant"},
		"gateway.networking.k8s.io/v1beta1":  {"GatewayClass", "Gateway", "HTTPRoute", "ReferenceGrant"},
		"gateway.networking.k8s.io/v1alpha2": {"TLSRoute", "TCPRoute", "UDPRoute"},
		"gateway.networking.k8s.io/v1alpha3": {"TLSRoute", "BackendTLSPolicy"},
		"multicluster.x-k8s.io/v1alpha1":     {"ServiceImport", "ServiceExport"},
		"multicluster.x-k8s.io/v1beta1":      {"ServiceImport", "ServiceExport"},
	}
	var all strings.Builder
	objects := 0
	for version, names := range kinds {
		for _, kind := range names {
			objects++
			fmt.Fprintf(&all, "{apiVersion: %s, kind: %s, metadata: {name: x%d}, spec: {}}\n---\n", version, kind, objects)
		}
	}
	got, err := manifest.Read([]byte(all.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Skipped) > 0 {
		t.Errorf("skipped %v", got.Skipped)
	}
	read := len(got.PeerAuthentications) + len(got.ServiceExports) + len(got.ServiceImports)
	for _, part := range []any{got.Istio, got.GatewayAPI} {
		v := reflect.ValueOf(part)
		for i := range v.NumField() {
			if v.Field(i).Len() == 0 {
				t.Errorf("no %s", v.Type().Field(i).Name)
			}
			read += v.Field(i).Len()
		}
	}
	if read != objects {
		t.Errorf("%d objects were read, want %d", read, objects)
	}
}
