// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"slices"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/patch"
)

// Patch is what somebody wants different in the bootstrap. Lists of its value are
// appended, or with Replace take the place of those there.
type Patch struct {
	// Name tells patches apart.
	Name    string
	Replace bool
	Value   *bootstrapv3.Bootstrap
}

// Patched is a bootstrap with patches merged into it, in order. What the proxy's
// identity, its configuration and its health depend on is as it was: the node,
// the address of the administration interface, the control plane, the secrets,
// and what Prometheus and the kubelet ask. The bootstrap given is not changed.
func Patched(b *bootstrapv3.Bootstrap, patches []Patch) *bootstrapv3.Bootstrap {
	out := proto.CloneOf(b)
	for _, p := range patches {
		patch.Merge(out, p.Value, p.Replace)
	}
	own := proto.CloneOf(b)
	out.Node, out.DynamicResources = own.GetNode(), own.GetDynamicResources()
	if out.Admin == nil {
		out.Admin = own.GetAdmin()
	}
	out.Admin.Address = own.GetAdmin().GetAddress()
	out.StaticResources.Clusters = put(own.GetStaticResources().GetClusters(), out.GetStaticResources().GetClusters(), (*clusterv3.Cluster).GetName)
	out.StaticResources.Listeners = put(own.GetStaticResources().GetListeners(), out.GetStaticResources().GetListeners(), (*listenerv3.Listener).GetName)
	out.BootstrapExtensions = put(own.GetBootstrapExtensions(), out.GetBootstrapExtensions(), (*corev3.TypedExtensionConfig).GetName)
	if out.GetLayeredRuntime() != nil {
		// Those of a patch stand between: what is set by hand at the end goes over all.
		layers := put(own.GetLayeredRuntime().GetLayers(), out.GetLayeredRuntime().GetLayers(), (*bootstrapv3.RuntimeLayer).GetName)
		slices.SortStableFunc(layers, func(a, b *bootstrapv3.RuntimeLayer) int { return admin(a) - admin(b) })
		out.LayeredRuntime.Layers = layers
	}
	out.StatsConfig.StatsMatcher = keptStats(own.GetStatsConfig().GetStatsMatcher(), out.GetStatsConfig().GetStatsMatcher())
	forgetAfterFlushes(out)
	return out
}

// forgetAfterFlushes: Envoy starts only where statistics are forgotten after a whole number of flushes.
func forgetAfterFlushes(b *bootstrapv3.Bootstrap) {
	forget, flush := b.GetStatsEvictionInterval(), 5*time.Second
	if given := b.GetStatsFlushInterval(); given != nil {
		flush = given.AsDuration()
	}
	if forget == nil || flush <= 0 || forget.AsDuration()%flush == 0 {
		return
	}
	b.StatsEviction = &bootstrapv3.Bootstrap_StatsEvictionInterval{StatsEvictionInterval: durationpb.New((forget.AsDuration()/flush + 1) * flush)}
}

func admin(l *bootstrapv3.RuntimeLayer) int {
	if l.GetAdminLayer() != nil {
		return 1
	}
	return 0
}

// put one's own first, and of the others those that have no name of them.
func put[T any](own, all []T, name func(T) string) []T {
	out := slices.Clone(own)
	for _, o := range all {
		if !slices.ContainsFunc(own, func(t T) bool { return name(t) == name(o) }) {
			out = append(out, o)
		}
	}
	return out
}

// keptStats has the statistics that readiness and draining need: a list of what is
// kept has them too, and all of them are all.
func keptStats(own, patched *metricsv3.StatsMatcher) *metricsv3.StatsMatcher {
	switch m := patched.GetStatsMatcher().(type) {
	case *metricsv3.StatsMatcher_InclusionList:
		for _, p := range own.GetInclusionList().GetPatterns() {
			if !slices.ContainsFunc(m.InclusionList.GetPatterns(), func(o *matcherv3.StringMatcher) bool { return proto.Equal(o, p) }) {
				m.InclusionList.Patterns = append(m.InclusionList.Patterns, p)
			}
		}
		return patched
	case *metricsv3.StatsMatcher_RejectAll:
		if !m.RejectAll {
			return patched
		}
	}
	return own
}
