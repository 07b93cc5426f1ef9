// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// built of objects.
func built(t *testing.T, objects ...string) *model.Mesh {
	t.Helper()
	read, err := manifest.Read([]byte(strings.Join(objects, "\n---\n")))
	if err != nil {
		t.Fatal(err)
	}
	read.Settings = *settings
	return ingest.Build(read.Input, nil).Mesh
}

// toldOf the problems of some reasons, as "Kind name field: reason".
func toldOf(problems []model.Problem, reasons ...string) []string {
	var out []string
	for _, p := range problems {
		for _, r := range reasons {
			if p.Reason == r {
				out = append(out, fmt.Sprintf("%s %s %s: %s", p.Kind, p.Name, p.Field, p.Reason))
			}
		}
	}
	return out
}

// egress is how a namespace's calls to a host outside take an egress gateway: its
// rules, and the subset that they name, are its own.
const egress = `{apiVersion: v1, kind: Service, metadata: {name: exit, namespace: istio-system}, spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: outside, namespace: shop}, spec: {hosts: [out.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: exit, namespace: shop}, spec: {selector: {istio: exit}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [out.example]}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: exit, namespace: shop}, spec: {host: exit.istio-system.svc.cluster.local, subsets: [{name: out}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: out, namespace: shop}, spec: {hosts: [out.example], gateways: [mesh, exit], http: [
  {match: [{gateways: [mesh], port: 80}], route: [{destination: {host: exit.istio-system.svc.cluster.local, subset: SUBSET, port: {number: 80}}}]},
  {match: [{gateways: [exit], port: 80}], route: [{destination: {host: out.example, port: {number: 80}}}]}]}}`

func pod(namespace, name, args string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s, labels: {istio: %[1]s}}, spec: {serviceAccountName: default, containers: [{name: istio-proxy, args: [%[3]s]}]}, status: {podIPs: [{ip: 10.0.0.1}]}}`, name, namespace, args)
}

// TestADestinationIsMissedByThoseWhoCall: a rule that leads callers of its own
// namespace somewhere, and others nowhere, is wrong when there are others.
func TestADestinationIsMissedByThoseWhoCall(t *testing.T) {
	missed := []string{"VirtualService out spec.http[0].route[0].destination.host: UnknownDestination"}
	gateway := pod("istio-system", "exit", "proxy, router")
	for name, c := range map[string]struct {
		subset string
		pods   []string
		want   []string
	}{
		"OwnCallers":          {"out", []string{pod("shop", "client", ""), gateway}, nil},
		"NobodyYet":           {"out", nil, nil},
		"CallersElsewhere":    {"out", []string{pod("shop", "client", ""), pod("bank", "client", ""), gateway}, missed},
		"MisspeltForAll":      {"outt", []string{pod("shop", "client", ""), gateway}, missed},
		"MisspeltAndNobody":   {"outt", nil, missed},
		"OnlyCallersOfOthers": {"out", []string{pod("bank", "client", "")}, missed},
	} {
		t.Run(name, func(t *testing.T) {
			m := built(t, append(c.pods, strings.Replace(egress, "SUBSET", c.subset, 1))...)
			s := snapshot.Build(m, nil)
			for _, ask := range []func() []model.Problem{s.Problems, s.AllProblems} {
				if d := cmp.Diff(c.want, toldOf(ask(), "UnknownDestination")); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			}
			// A gateway that is connected follows none of the sidecars' rules.
			s.View(&model.Proxy{Type: model.Router, Name: "exit", Namespace: "istio-system", Labels: map[string]string{"istio": "exit"}, Workload: m.Workload("istio-system", "exit")})
			if d := cmp.Diff(c.want, toldOf(s.Problems(), "UnknownDestination")); d != "" {
				t.Errorf("with a gateway (-want +got):\n%s", d)
			}
		})
	}
}

// TestClashesOfThoseWhoAreAway: what only the callers of one namespace see is told
// when there are such, connected or not.
func TestClashesOfThoseWhoAreAway(t *testing.T) {
	entry := func(name, created string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: %s, namespace: shop, creationTimestamp: %q}, spec: {
  hosts: [%[1]s.example], exportTo: ["."], resolution: NONE, ports: [{number: 9000, name: tcp, protocol: TCP}]}}`, name, created)
	}
	both := []string{entry("z-old", "2026-01-01T00:00:00Z"), entry("a-young", "2026-01-02T00:00:00Z")}
	s := snapshot.Build(built(t, append(both, pod("shop", "client", ""))...), nil)
	want := []string{"ServiceEntry a-young : PortConflict"}
	if d := cmp.Diff(want, toldOf(s.AllProblems(), "PortConflict")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestGatewaysWithoutPods: who applies a Gateway is told what it takes from others
// before anything is deployed that follows it, and it is the same afterwards.
func TestGatewaysWithoutPods(t *testing.T) {
	gateway := func(namespace, name, created, selector, servers string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: %s, namespace: %s, creationTimestamp: %q}, spec: {selector: {%s}, servers: [%s]}}`,
			name, namespace, created, selector, servers)
	}
	http, tcp := "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}", "{port: {number: 80, name: tcp, protocol: TCP}, hosts: [a.example]}"
	credential := "{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {mode: SIMPLE, credentialName: none}}"
	old := gateway("shop", "z-old", "2026-01-01T00:00:00Z", "istio: front", http+", "+credential)
	want := []string{"Gateway a-young spec.servers[0].port: PortConflict"}
	for name, c := range map[string]struct {
		objects []string
		want    []string
	}{
		"OneSelector":      {[]string{old, gateway("bank", "a-young", "2026-01-02T00:00:00Z", "istio: front", tcp)}, want},
		"ANarrowerOne":     {[]string{old, gateway("bank", "a-young", "2026-01-02T00:00:00Z", "istio: front, app: b", tcp)}, want},
		"OtherOnes":        {[]string{old, gateway("bank", "a-young", "2026-01-02T00:00:00Z", "istio: back", tcp)}, nil},
		"ServerNames":      {[]string{old, gateway("bank", "a-young", "2026-01-02T00:00:00Z", "istio: front", credential)}, []string{"Gateway a-young spec.servers[0].hosts: HostConflict"}},
		"OnlyTheCredental": {[]string{old}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := snapshot.Build(built(t, c.objects...), nil)
			if d := cmp.Diff(c.want, toldOf(before.Problems(), "PortConflict", "HostConflict", "Conflict", "CredentialUnusable")); d != "" {
				t.Errorf("without pods (-want +got):\n%s", d)
			}
			after := snapshot.Build(built(t, append(c.objects, strings.Replace(pod("edge", "front", "proxy, router"), "istio: front", "istio: front, app: b", 1))...), before)
			if d := cmp.Diff(c.want, toldOf(after.Problems(), "PortConflict", "HostConflict", "Conflict")); d != "" {
				t.Errorf("with a pod (-want +got):\n%s", d)
			}
		})
	}
}
