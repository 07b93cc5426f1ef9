// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
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
