// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestWhatChangesNothingIsTold: settings and rules that no port of their host can use are
// problems with nobody connected, until the port, or a route that leads there, can use them.
func TestWhatChangesNothingIsTold(t *testing.T) {
	service := func(port string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{name: %s, port: 80}]}}`, port)
	}
	policy := func(policy string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: web, namespace: shop}, spec: {host: web, trafficPolicy: {%s}}}`, policy)
	}
	rules := func(rules string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web, namespace: shop}, spec: {hosts: [web], %s}}`, rules)
	}
	const (
		requests = "connectionPool: {http: {http2MaxRequests: 1}}"
		route    = "[{route: [{destination: {host: web}}]}]"
		unused   = "DestinationRule web spec.trafficPolicy.connectionPool.http.http2MaxRequests: NoEffect"
	)
	for name, c := range map[string]struct {
		objects []string
		want    []string
	}{
		"RequestsToTCP":  {[]string{service("tcp"), policy(requests)}, []string{unused}},
		"RequestsToHTTP": {[]string{service("http"), policy(requests)}, nil},
		// Whoever routes requests there, another host's callers too, uses the settings.
		"RoutedToTCP": {[]string{service("tcp"), policy(requests), `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: other, namespace: shop},
  spec: {hosts: [other.example], http: ` + route + `}}`}, nil},
		"NoServiceYet": {[]string{policy(requests)}, nil},
		"NoSuchPort": {
			[]string{service("http"), policy("portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]")},
			[]string{"DestinationRule web spec.trafficPolicy.portLevelSettings[81]: NoEffect"},
		},
		"HTTPRulesForTCP": {[]string{service("tcp"), rules("http: " + route)}, []string{"VirtualService web spec.http: NoEffect"}},
		"TCPRulesForHTTP": {[]string{service("http"), rules("tcp: " + route)}, []string{"VirtualService web spec.tcp: NoEffect"}},
		"TCPRulesForTCP":  {[]string{service("tcp"), rules("tcp: " + route)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot.Build(built(t, c.objects...), nil)
			if d := cmp.Diff(c.want, toldOf(s.AllProblems(), "NoEffect")); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	t.Run("FollowsTheService", func(t *testing.T) {
		var mesh *ingest.Result
		var s *snapshot.Snapshot
		for _, c := range []struct {
			port string
			want []string
		}{{"tcp", []string{unused}}, {"tcp", []string{unused}}, {"http", nil}, {"tcp", []string{unused}}} {
			read, err := manifest.Read([]byte(service(c.port) + "\n---\n" + policy(requests)))
			if err != nil {
				t.Fatal(err)
			}
			read.Settings = *settings
			mesh = ingest.Build(read.Input, mesh)
			s = snapshot.Build(mesh.Mesh, s)
			if d := cmp.Diff(c.want, toldOf(s.AllProblems(), "NoEffect")); d != "" {
				t.Errorf("with a port named %s (-want +got):\n%s", c.port, d)
			}
		}
	})
}
