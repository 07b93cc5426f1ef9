// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/federation/member"
	"github.com/isthmesh/isthmesh/federation/wire"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// What is applied in both members.
const versions = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews.shop.svc.cluster.local
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
`

const eastVersions = `
member east network=n2 trust=east.example
service shop/reviews vip=10.96.1.7 port=80/HTTP exported id=shop/reviews
endpoint shop/reviews:80 10.244.2.1:8080 labels=version=v1 workload=shop/reviews-1
endpoint shop/reviews:80 10.244.2.2:8080 labels=version=v2 workload=shop/reviews-2
endpoint shop/reviews:80 10.244.2.3:8080 labels=version=v3 workload=shop/reviews-3
service shop/secret vip=10.96.1.8 port=80/HTTP id=shop/reviews
endpoint shop/secret:80 10.244.2.1:8080 labels=version=v1
workload shop/reviews-1 10.244.2.1 sa=reviews mtls=Strict in=8080/HTTP
workload shop/reviews-2 10.244.2.2 sa=reviews mtls=Strict in=8080/HTTP
workload shop/reviews-3 10.244.2.3 sa=reviews mtls=Strict in=8080/HTTP
`

const westVersions = versions + `
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.96.0.7, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client-1, namespace: shop}
spec: {serviceAccountName: client, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.1.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-0, namespace: shop, labels: {version: v1}}
spec: {serviceAccountName: reviews, containers: [{name: echo}]}
status: {podIPs: [{ip: 10.244.1.3}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - {match: [{headers: {version: {exact: v1}}}], route: [{destination: {host: reviews, subset: v1}}]}
  - {match: [{headers: {version: {exact: v3}}}], route: [{destination: {host: reviews, subset: v3}}]}
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 50}
    - {destination: {host: reviews, subset: v2}, weight: 50}
`

const westSlice = `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-a, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.1.3], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-0}}]
`

// imported is what a member in another network gets of a mesh.
func imported(t *testing.T, from *model.Mesh, gateway string) *model.Imports {
	t.Helper()
	m := model.ImportedMember{
		Cluster: from.Settings.Cluster, Network: from.Settings.Network, TrustDomain: from.Settings.TrustDomain,
		Gateways: []model.GatewayAddress{{Address: gateway, Port: 15443}},
	}
	for _, e := range member.Export(from) {
		b, err := proto.Marshal(wire.WithoutEndpoints(wire.FromExport(e)))
		if err != nil {
			t.Fatal(err)
		}
		var s federationv1.Service
		if err := proto.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		if f := wire.CheckService(&s); f != nil {
			t.Fatal(f)
		}
		m.Services = append(m.Services, wire.ToExport(&s))
	}
	return &model.Imports{Members: []model.ImportedMember{m}}
}

// TestSubsetsAcrossMembers routes between versions of a service whose pods run in two members.
func TestSubsetsAcrossMembers(t *testing.T) {
	root, fabric := rig.NewRoot(t), rig.New(t)
	east := mesh(t, eastVersions)
	east.Policies = built(t, []byte(versions), nil).Policies
	for _, st := range east.Services {
		st.Service.ExportedUnix = 1
	}
	f := &federation{fabric: fabric, root: root, east: east, snapshot: snapshot.Build(east, nil), stranger: fabric.Pod("shop", "stranger", "10.244.1.2")}
	for i := 1; i <= 3; i++ {
		identity := "spiffe://east.example/ns/shop/sa/reviews"
		pod, leaf := fabric.Pod("shop", fmt.Sprintf("reviews-%d", i), fmt.Sprintf("10.244.2.%d", i)), root.Leaf(identity)
		if i == 3 {
			leaf = root.Leaf("spiffe://east.example/ns/shop/sa/intruder")
		}
		pod.Envoy(rig.Options{Type: "sidecar", Identity: identity, Leaf: &leaf, Redirect: true}).Push(f.snapshot)
		echo(pod, 8080)
	}
	f.gateway = fabric.Pod("istio-system", "istio-eastwestgateway-1", "10.244.2.9").Envoy(rig.Options{
		Type: "router", Labels: map[string]string{"istio": "eastwestgateway"},
		Identity: "spiffe://east.example/ns/istio-system/sa/istio-eastwestgateway",
	})
	f.gateway.Push(f.snapshot)
	echo(fabric.Pod("shop", "reviews-0", "10.244.1.3"), 8080)
	f.caller = fabric.Pod("shop", "client-1", "10.244.1.1")
	leaf := root.Leaf("spiffe://west.example/ns/shop/sa/client")
	f.client = f.caller.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://west.example/ns/shop/sa/client", Leaf: &leaf, Redirect: true})

	var result *ingest.Result
	var west *snapshot.Snapshot
	push := func(objects string) {
		t.Helper()
		read, err := manifest.Read([]byte(objects))
		if err != nil || len(read.Skipped) > 0 {
			t.Fatal(err, read.Skipped)
		}
		read.Settings = model.Settings{Cluster: "west", Network: "n1", TrustDomain: "west.example", RootNamespace: "istio-system", DomainSuffix: "cluster.local"}
		read.Imports = imported(t, f.east, "10.244.2.9")
		result = ingest.Build(read.Input, result)
		west = snapshot.Build(result.Mesh, west)
		f.client.Push(west)
	}
	c := client(f.caller)
	ask := func(version string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "http://10.96.0.7/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "reviews.shop"
		r.Header.Set("version", version)
		resp, body := do(t, c, r)
		return resp.StatusCode, strings.TrimPrefix(strings.Fields(body + " -")[0], "pod=")
	}
	push(westVersions + westSlice)
	if p := west.Problems(); len(p) > 0 {
		t.Error(p)
	}
	t.Run("Canary", func(t *testing.T) {
		answers := map[string]int{}
		for range calls {
			status, pod := ask("")
			if status != http.StatusOK {
				t.Fatalf("%d from %s", status, pod)
			}
			answers[pod]++
		}
		shareOf(t, answers, map[string]float64{"reviews-0": 50, "reviews-2": 50})
	})
	t.Run("AnotherIdentity", func(t *testing.T) {
		if status, pod := ask("v3"); status != http.StatusServiceUnavailable {
			t.Errorf("%d from %s, which has no identity of the service", status, pod)
		}
	})
	t.Run("ServerNames", func(t *testing.T) {
		leaf := root.Leaf("spiffe://west.example/ns/shop/sa/client")
		for sni, want := range map[string]string{
			"outbound_.80_.v1_.reviews.shop.svc.cluster.local": "pod=reviews-1",
			"outbound_.80_.v2_.reviews.shop.svc.cluster.local": "pod=reviews-2",
			"outbound_.80_.v4_.reviews.shop.svc.cluster.local": "",
			"outbound_.80_.v1_.secret.shop.svc.cluster.local":  "",
		} {
			answer, err := overTLS(t, f.stranger, "10.244.2.9:15443", leaf.TLS(t, sni, "istio-http/1.1"))
			if (err == nil) != (want != "") || !strings.Contains(answer, want) {
				t.Errorf("server name %q: %v %s, want %q", sni, err, answer, want)
			}
		}
	})
	t.Run("FailoverWithinTheSubset", func(t *testing.T) {
		push(westVersions)
		for range 50 {
			if status, pod := ask("v1"); status != http.StatusOK || pod != "reviews-1" {
				t.Fatalf("%d from %s, want reviews-1", status, pod)
			}
		}
	})
	t.Run("NotDefinedThere", func(t *testing.T) {
		whole := f.open(t, "outbound_.80_._.reviews.shop.svc.cluster.local")
		if err := whole.ask(); err != nil {
			t.Fatal(err)
		}
		f.change(func(m *model.Mesh) { m.Policies = nil })
		if err := f.open(t, "outbound_.80_.v2_.reviews.shop.svc.cluster.local").ask(); err == nil {
			t.Error("the gateway passes on a subset that no rule defines any more")
		}
		if err := whole.ask(); err != nil {
			t.Errorf("a connection to the whole was cut: %v", err)
		}
		push(westVersions + westSlice)
		for range 20 {
			if status, pod := ask("v1"); status != http.StatusOK || pod != "reviews-0" {
				t.Fatalf("%d from %s, want reviews-0", status, pod)
			}
		}
		said := fmt.Sprint(west.Problems())
		for _, want := range []string{"OtherMembersLeftOut", `subset "v2"`, "apply this rule in member east too"} {
			if !strings.Contains(said, want) {
				t.Errorf("the problems don't say %q: %s", want, said)
			}
		}
	})
}
