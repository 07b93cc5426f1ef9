// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"net/netip"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What is always kept: the mesh's own metrics and what readiness, draining and
// the control plane's view of the proxy need. Every other statistic costs
// memory for each cluster and listener, and must be asked for.
var (
	keptPrefixes = []string{"cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "istio", "component", "wasm"}
	keptSuffixes = []string{"rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied", "downstream_cx_active", "downstream_cx_total", "ssl.handshake"}
	keptRegexps  = []string{`vhost\..*\.route\..*`}
)

// tags take what is in the names of statistics out of them, as the labels that
// Istio's users know. The names of clusters and listeners have dots in them, so
// a name ends where one of the words begins that Envoy's statistics begin with.
var tags = []struct{ name, regex string }{
	{"cluster_name", `^cluster\.((.+?)\.)(?:assignment_|bind_|circuit_breakers|client_ssl|default\.|external\.|http[123]\.|internal\.|lb_|max_host|membership_|original_dst|outlier_|priority|retry|ssl\.|update_|upstream_|version|warming)`},
	{"http_conn_manager_prefix", `^http\.((.+?)\.)(?:downstream_|no_|passthrough_|rbac|rq_|rs_|tracing)`},
	{"listener_address", `^listener\.((.+?)\.)(?:connections_|downstream_|extension_|http\.|no_filter|ssl\.|worker_)`},
	{"tcp_prefix", `^tcp\.((.+?)\.)(?:downstream_|early_|idle_|max_|on_demand|rbac|upstream_)`},
	// What policies decide, and what those in a dry run would.
	{"authz_enforce_result", `\.rbac(\.(allowed|denied))$`},
	{"authz_dry_run_action", `\.rbac(\.istio_dry_run_(allow|deny)_)`},
	{"authz_dry_run_result", `(\.shadow_(allowed|denied))$`},
	{"response_code", `_rq(_(\d{3}))$`},
	{"response_code_class", `_rq(_(\dxx))$`},
}

// buckets of the standard metrics. Envoy's own twenty would make each of a proxy's
// answers to a scrape several times as long.
var buckets = []*metricsv3.HistogramBucketSettings{
	{
		Match:   &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "istio_request_duration_milliseconds"}},
		Buckets: []float64{1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000},
	},
	{
		Match:   &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: `istio_(request|response)_bytes.*`}}},
		Buckets: []float64{100, 1000, 10000, 100000, 1000000, 10000000},
	},
}

// eviction is how long a standard metric may stay the same before it is forgotten; in
// twice as long at most it is. It is longer than anybody scrapes.
const eviction = 30 * time.Minute

func stats(also Stats) *metricsv3.StatsConfig {
	var patterns []*matcherv3.StringMatcher
	for _, p := range merged(keptPrefixes, also.Prefixes) {
		patterns = append(patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: p}})
	}
	for _, p := range merged(keptSuffixes, also.Suffixes) {
		patterns = append(patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: p}})
	}
	for _, p := range merged(keptRegexps, also.Regexps) {
		patterns = append(patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: p}}})
	}
	config := &metricsv3.StatsConfig{
		HistogramBucketSettings: buckets,
		UseAllDefaultTags:       wrapperspb.Bool(false),
		StatsMatcher: &metricsv3.StatsMatcher{StatsMatcher: &metricsv3.StatsMatcher_InclusionList{
			InclusionList: &matcherv3.ListStringMatcher{Patterns: patterns},
		}},
	}
	for _, t := range tags {
		config.StatsTags = append(config.StatsTags, &metricsv3.TagSpecifier{TagName: t.name, TagValue: &metricsv3.TagSpecifier_Regex{Regex: t.regex}})
	}
	return config
}

// statsSinks are where statistics are sent beside being scraped.
func statsSinks(s Stats) ([]*metricsv3.StatsSink, error) {
	if !s.Statsd.IsValid() {
		return nil, nil
	}
	sink, err := packed(&metricsv3.StatsdSink{StatsdSpecifier: &metricsv3.StatsdSink_Address{Address: udp(s.Statsd)}})
	if err != nil {
		return nil, err
	}
	return []*metricsv3.StatsSink{{Name: "envoy.stat_sinks.statsd", ConfigType: &metricsv3.StatsSink_TypedConfig{TypedConfig: sink}}}, nil
}

func udp(at netip.AddrPort) *corev3.Address {
	out := address(at.Addr().String(), uint32(at.Port()))
	out.GetSocketAddress().Protocol = corev3.SocketAddress_UDP
	return out
}

func merged(kept, also []string) []string {
	out := slices.Clone(kept)
	for _, s := range also {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
