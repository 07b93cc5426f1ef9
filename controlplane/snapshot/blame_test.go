// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestBlame traces what a proxy refuses to one object, or tells it of the pod.
func TestBlame(t *testing.T) {
	mesh := guardedMesh()
	lua := func(name string, index int, labels map[string]string) *model.Patch {
		return &model.Patch{
			Origin: model.Origin{Kind: "EnvoyFilter", Namespace: "shop", Name: name}, Index: index,
			Target:  model.Target{Selector: model.LabelsOf(labels)},
			ApplyTo: "LISTENER", Context: "SIDECAR_INBOUND", Operation: "MERGE", Match: []byte(`{}`), Value: []byte(`{"statPrefix":"` + name + `"}`),
		}
	}
	mesh.Patches = []*model.Patch{lua("one", 3, map[string]string{"app": "a"}), lua("two", 0, map[string]string{"app": "b"}), lua("three", 0, map[string]string{"app": "b"})}
	mesh.Routings = []*model.Routing{
		{Origin: model.Origin{Kind: "VirtualService", Namespace: "shop", Name: "vs"}, Hosts: []string{"reviews.shop.svc.cluster.local"}, Gateways: []model.GatewayRef{model.Sidecars}},
		{Origin: model.Origin{Kind: "VirtualService", Namespace: "shop", Name: "short"}, Hosts: []string{"shop.svc.cluster.local"}, Gateways: []model.GatewayRef{model.Sidecars}},
	}
	mesh.Policies = []*model.DestinationPolicy{{Origin: model.Origin{Kind: "DestinationRule", Namespace: "shop", Name: "dr"}, Host: "reviews.shop.svc.cluster.local"}}
	tls := func(name, ca string) *model.DestinationPolicy {
		p := &model.DestinationPolicy{Origin: model.Origin{Kind: "DestinationRule", Namespace: "shop", Name: name}, Host: name}
		p.Policy.TLS = &model.ClientTLS{CAFile: ca}
		return p
	}
	mesh.Policies = append(mesh.Policies, tls("file", "/etc/ca.pem"), tls("longer", "/etc/ca.pem.old"))
	s := snapshot.Build(mesh, nil)
	tests := map[string]struct {
		pod, typeURL, resource, reason string
		want                           string // "Kind name field", and a part of the message
	}{
		"Patch":          {"a", envoy.ListenerType, "virtualInbound", "no such script", `EnvoyFilter one spec.configPatches[3].patch.value: pod shop/a rejects Listener "virtualInbound"`},
		"TwoPatches":     {"b", envoy.ListenerType, "virtualInbound", "no such script", `Pod b : one of these makes it so: EnvoyFilter shop/three, EnvoyFilter shop/two`},
		"OtherListener":  {"a", envoy.ListenerType, "virtualOutbound", "bad", `Pod a : its proxy rejects Listener "virtualOutbound"`},
		"Host":           {"a", envoy.RouteType, "80", "bad regex in virtual host reviews.shop.svc.cluster.local:80", `VirtualService vs spec: bad regex`},
		"NoHost":         {"a", envoy.RouteType, "80", "bad regex", `Pod a : bad regex`},
		"Cluster":        {"a", envoy.ClusterType, "outbound|80||reviews.shop.svc.cluster.local", "bad", `DestinationRule dr spec: bad`},
		"OtherCluster":   {"a", envoy.ClusterType, "outbound|80||ratings.shop.svc.cluster.local", "bad", `Pod a : bad`},
		"SecretsName":    {"a", envoy.SecretType, "file-root:/etc/ca.pem", "bad", `DestinationRule file spec: pod shop/a rejects Secret "file-root:/etc/ca.pem"`},
		"SecretsPath":    {"a", envoy.SecretType, "", "Invalid path: /etc/ca.pem.old", `DestinationRule longer spec: pod shop/a rejects a Secret`},
		"OtherSecret":    {"a", envoy.SecretType, "default", "bad", `Pod a : its proxy rejects Secret "default"`},
		"Nothing":        {"a", envoy.ListenerType, "", "", `Pod a : its proxy rejects a Listener and keeps what it had before: it gives no reason`},
		"ControlledText": {"a", envoy.ListenerType, "", "a\nb\x00" + strings.Repeat("x", 5000), `Pod a : a b xxx`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := model.Rejection{TypeURL: test.typeURL, Resource: test.resource, Reason: test.reason}
			for _, w := range mesh.Workloads {
				if w.Name == test.pod {
					r.Proxy = &model.Proxy{Type: model.Sidecar, Namespace: w.Namespace, Name: w.Name, Workload: w, Labels: w.Labels}
				}
			}
			got := s.Blame([]model.Rejection{r, r})
			if len(got) != 1 || got[0].Reason != "RejectedByProxy" || len(got[0].Message) > 1000 {
				t.Fatalf("got %v", got)
			}
			head, part, _ := strings.Cut(test.want, ": ")
			if diff := cmp.Diff(head, fmt.Sprintf("%s %s %s", got[0].Kind, got[0].Name, got[0].Field)); diff != "" || !strings.Contains(got[0].Message, part) {
				t.Errorf("%s\n%s", diff, got[0].Message)
			}
		})
	}
	if got := s.Blame(nil); len(got) > 0 {
		t.Errorf("without rejections: %v", got)
	}
}
