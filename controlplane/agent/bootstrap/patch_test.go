// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"slices"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/patch"
)

func patchOf(t *testing.T, replace bool, text string) bootstrap.Patch {
	t.Helper()
	value := &bootstrapv3.Bootstrap{}
	body, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(body, value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bootstrap.Patch{Name: "0/MERGE/shop/x/0", Replace: replace, Value: value}
}

// TestPatched: what is asked for is there, and what the proxy lives on stays.
func TestPatched(t *testing.T) {
	base, err := bootstrap.Build(sidecar())
	if err != nil {
		t.Fatal(err)
	}
	before := proto.CloneOf(base)
	cases := map[string]struct {
		replace bool
		text    string
		// want changes a copy of the base to what is to come out.
		want func(*bootstrapv3.Bootstrap)
	}{
		"Cluster": {
			text: `{static_resources: {clusters: [{name: zipkin, type: STATIC, connect_timeout: 9s}]}, cluster_manager: {outlier_detection: {event_log_path: /dev/stdout}}}`,
			want: func(b *bootstrapv3.Bootstrap) {
				more := patchOf(t, false, `{static_resources: {clusters: [{name: zipkin, type: STATIC, connect_timeout: 9s}]}, cluster_manager: {outlier_detection: {event_log_path: /dev/stdout}}}`).Value
				b.StaticResources.Clusters = append(b.StaticResources.Clusters, more.GetStaticResources().GetClusters()...)
				b.ClusterManager = more.GetClusterManager()
			},
		},
		"Identity": {
			text: `{node: {id: other, cluster: other}, admin: {address: {socket_address: {address: 0.0.0.0, port_value: 1}}}, dynamic_resources: {ads_config: {api_type: GRPC}}}`,
			want: func(*bootstrapv3.Bootstrap) {},
		},
		"ControlPlane": {
			text: `{static_resources: {clusters: [{name: xds-grpc, type: STATIC}, {name: sds-grpc, type: STATIC}], listeners: [{name: agent}]}}`,
			want: func(*bootstrapv3.Bootstrap) {},
		},
		"EmptiedLists": {
			replace: true,
			text:    `{static_resources: {clusters: [{name: only, type: STATIC, connect_timeout: 9s}]}, bootstrap_extensions: [{name: x}], layered_runtime: {layers: [{name: mine, static_layer: {a: 1}}]}}`,
			want: func(b *bootstrapv3.Bootstrap) {
				more := patchOf(t, false, `{static_resources: {clusters: [{name: only, type: STATIC, connect_timeout: 9s}]}, bootstrap_extensions: [{name: x}], layered_runtime: {layers: [{name: mine, static_layer: {a: 1}}]}}`).Value
				b.StaticResources.Clusters = append(b.StaticResources.Clusters, more.GetStaticResources().GetClusters()...)
				b.BootstrapExtensions = append(b.BootstrapExtensions, more.GetBootstrapExtensions()...)
				b.LayeredRuntime.Layers = slices.Insert(b.LayeredRuntime.Layers, 1, more.GetLayeredRuntime().GetLayers()...)
			},
		},
		"Flushes": {
			text: `{stats_flush_interval: 7s}`,
			want: func(b *bootstrapv3.Bootstrap) {
				more := patchOf(t, false, `{stats_flush_interval: 7s, stats_eviction_interval: 1806s}`).Value
				b.StatsFlushInterval, b.StatsEviction = more.GetStatsFlushInterval(), more.GetStatsEviction()
			},
		},
		"NoStatistics": {text: `{stats_config: {stats_matcher: {reject_all: true}}}`, want: func(*bootstrapv3.Bootstrap) {}},
		"NotThose":     {text: `{stats_config: {stats_matcher: {exclusion_list: {patterns: [{prefix: server}]}}}}`, want: func(*bootstrapv3.Bootstrap) {}},
		"AllStatistics": {
			text: `{stats_config: {stats_matcher: {reject_all: false}}}`,
			want: func(b *bootstrapv3.Bootstrap) {
				b.StatsConfig.StatsMatcher = patchOf(t, false, `{stats_config: {stats_matcher: {reject_all: false}}}`).Value.GetStatsConfig().GetStatsMatcher()
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := proto.CloneOf(before)
			c.want(want)
			got := bootstrap.Patched(base, []bootstrap.Patch{patchOf(t, c.replace, c.text)})
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !proto.Equal(base, before) {
				t.Error("the bootstrap given was changed")
			}
		})
	}
}

// TestAgentsOwnNames: the control plane tells whoever patches just these.
func TestAgentsOwnNames(t *testing.T) {
	b, err := bootstrap.Build(sidecar())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range b.GetStaticResources().GetClusters() {
		names = append(names, c.GetName())
	}
	for _, l := range b.GetStaticResources().GetListeners() {
		names = append(names, l.GetName())
	}
	slices.Sort(names)
	if diff := cmp.Diff(patch.BootstrapNames, slices.Compact(names)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
