// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/simulate"
)

// tenants a, b and c have a service "web" each, at 10.96.<n>.1 and 10.0.<n>.1.
func tenants() string {
	var b strings.Builder
	for i, ns := range []string{"a", "b", "c"} {
		fmt.Fprintf(&b, `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: %[1]s}
spec: {clusterIP: 10.96.%[2]d.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: %[1]s, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.%[2]d.1], conditions: {ready: true}, targetRef: {kind: Pod, name: web-1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: %[1]s, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.0.%[2]d.1}]}
---
`, ns, i+1)
	}
	return b.String()
}

const hostOfA = "web.a.svc.cluster.local"

func entryFor(host, more string) string {
	return `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: claim, namespace: b, creationTimestamp: "2026-02-01T00:00:00Z"}
spec: {hosts: ["` + host + `"], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 80, targetPort: 8080, name: http, protocol: HTTP}], endpoints: [{address: 10.0.2.1}]` + more + `}
`
}

func routesFor(host, more string) string {
	return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: claim, namespace: b}
spec: {hosts: ["` + host + `"], http: [{route: [{destination: {host: web.b.svc.cluster.local}}]}]` + more + `}
`
}

// TestReplay30 (NCC 2020, ISTIO-2026-002): tenant b claims names that aren't its
// own. Where Istio lets it, and only there, others are led to b, and b's object says so.
func TestReplay30(t *testing.T) {
	outside := netip.MustParseAddrPort("203.0.113.80:80")
	for name, c := range map[string]struct {
		claim, config, host string
		// toB are the tenants whose calls to the host reach b.
		toB string
		// reason of a Problem on the claim; empty for none.
		reason string
	}{
		"Entry":              {entryFor(hostOfA, ""), "", hostOfA, "b", "Rejected"},
		"EntryShort":         {entryFor("web.a", ""), "", "web.a", "", "Rejected"},
		"EntrySvc":           {entryFor("web.a.svc", ""), "", "web.a.svc", "", "Rejected"},
		"EntryWildcard":      {entryFor("*.a.svc.cluster.local", ""), "", hostOfA, "", "Rejected"},
		"EntryAllServices":   {entryFor("*.svc.cluster.local", ""), "", hostOfA, "", "Rejected"},
		"EntryForEveryone":   {entryFor(hostOfA, `, exportTo: ["*"]`), "", hostOfA, "b", "Rejected"},
		"Outside":            {entryFor("google.com", ""), "", "google.com", "abc", ""},
		"OutsideOwn":         {entryFor("google.com", `, exportTo: ["."]`), "", "google.com", "b", ""},
		"OutsideByPolicy":    {entryFor("google.com", ""), "defaultServiceExportTo: [.]", "google.com", "b", ""},
		"Routes":             {routesFor(hostOfA, ""), "", hostOfA, "abc", "HostOfAnotherNamespace"},
		"RoutesOwn":          {routesFor(hostOfA, `, exportTo: ["."]`), "", hostOfA, "b", ""},
		"RoutesByPolicy":     {routesFor(hostOfA, ""), "defaultVirtualServiceExportTo: [.]", hostOfA, "b", ""},
		"RoutesAtAGateway":   {routesFor(hostOfA, `, gateways: [a/front]`), "", hostOfA, "", ""},
		"RoutesWildcard":     {routesFor("*.a.svc.cluster.local", ""), "", hostOfA, "abc", "HostOfAnotherNamespace"},
		"RoutesOfTheOutside": {routesFor("google.com", ""), "", "google.com", "abc", ""},
		"Rule": {`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: claim, namespace: b}
spec: {host: web.a.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
`, "", hostOfA, "", ""},
		"Machine": {`
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: claim, namespace: b}
spec: {address: 10.0.2.1, labels: {app: web}, serviceAccount: web}
`, "", hostOfA, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			read, err := manifest.Read([]byte(tenants() + c.claim))
			if err != nil {
				t.Fatal(err)
			}
			in := read.Input
			in.Settings = model.Settings{RootNamespace: "istio-system", TrustDomain: "east.example", DomainSuffix: "cluster.local", Network: "n1", Cluster: "east"}
			in.MeshConfig = c.config
			mesh := ingest.Build(in, nil).Mesh
			s := snapshot.Build(mesh, nil)
			call := simulate.Call{To: netip.MustParseAddrPort("10.96.1.1:80"), Host: c.host, Payload: simulate.HTTP1}
			if c.host == "google.com" {
				call.To = outside
			}
			toB := ""
			for _, ns := range []string{"a", "b", "c"} {
				w := mesh.Workload(ns, "web-1")
				got := simulate.Outbound(s.View(&model.Proxy{Type: model.Sidecar, Namespace: ns, Name: "web-1", Workload: w, Labels: w.Labels}), call)
				at := ""
				for _, e := range got.Endpoints {
					at += e.Address + " "
				}
				switch {
				case strings.Contains(at, "10.0.2.1"):
					toB += ns
				case c.host == "google.com" && !got.OriginalDst && got.Refused == "", c.host != "google.com" && !strings.Contains(at, "10.0.1.1"):
					t.Errorf("a call of %s goes to neither:\n%v", ns, got)
				}
				if ns != "b" && strings.Contains(at, "10.0.1.1") && got.Endpoints[0].SNI == "" {
					t.Errorf("a call of %s goes on without mutual TLS", ns)
				}
			}
			if toB != c.toB {
				t.Errorf("calls of %q reach b, want %q", toB, c.toB)
			}
			problems := slices.DeleteFunc(append(slices.Clone(mesh.Problems), s.Problems()...), func(p model.Problem) bool { return p.Name != "claim" })
			if told := slices.ContainsFunc(problems, func(p model.Problem) bool { return p.Reason == c.reason }); told != (c.reason != "") {
				t.Errorf("want reason %q, got %v", c.reason, problems)
			}
		})
	}
}
