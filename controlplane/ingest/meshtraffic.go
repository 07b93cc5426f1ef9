// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"
	"time"

	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/networking"
	"github.com/isthmesh/isthmesh/controlplane/ingest/traffic"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// normalizations by MeshConfig's words; what is not here is the default.
var normalizations = map[meshapi.MeshConfig_ProxyPathNormalization_NormalizationType]model.PathNormalization{
	meshapi.MeshConfig_ProxyPathNormalization_NONE:                     model.NormalizeNone,
	meshapi.MeshConfig_ProxyPathNormalization_BASE:                     model.NormalizeBase,
	meshapi.MeshConfig_ProxyPathNormalization_MERGE_SLASHES:            model.NormalizeMergeSlashes,
	meshapi.MeshConfig_ProxyPathNormalization_DECODE_AND_MERGE_SLASHES: model.NormalizeDecodeAndMerge,
}

// applyTraffic reads what MeshConfig says of traffic into e, and returns what
// is wrong with it.
func (s *settings) applyTraffic(e *model.Settings) []model.Problem {
	var problems []model.Problem
	config := s.config
	report := reporter(s.reporter(&problems).below("data.mesh"))
	s.applyOutbound(e, report.below("outboundTrafficPolicy"))
	if set := config.GetLocalityLbSetting(); set != nil {
		e.LocalityBalancing = traffic.Locality(set, report.below("localityLbSetting"))
	}
	if set := config.GetZoneAwareLbSetting(); set != nil {
		// The more particular one of both, as in Istio.
		if config.GetLocalityLbSetting() != nil {
			report("localityLbSetting", NoEffect, "zoneAwareLbSetting is there, and holds in its place; remove one of both")
		}
		e.LocalityBalancing = traffic.ZoneAware(set, report.below("zoneAwareLbSetting"))
	}
	if set := config.GetDefaultTrafficPolicy(); set != nil {
		e.Connections, e.Outliers = networking.Baseline(set.GetConnectionPool(), set.GetOutlierDetection(), report.below("defaultTrafficPolicy"))
	}
	if set := config.GetDefaultHttpRetryPolicy(); set != nil {
		e.Retries = traffic.Retries(set, report.below("defaultHttpRetryPolicy"))
		if e.Retries.PerTryTimeout != nil {
			e.Retries.PerTryTimeout = nil
			report("defaultHttpRetryPolicy.perTryTimeout", NotSupported, "it can't be set for the whole mesh; set it in VirtualServices")
		}
	}
	if set := config.GetTcpKeepalive(); set != nil {
		e.TCPKeepalive = traffic.Keepalive(set, report.below("tcpKeepalive"))
	}
	e.Topology = topologyOf(config.GetDefaultConfig().GetGatewayTopology(), e.Topology)
	e.HTTP2Upgrade = e.HTTP2Upgrade || config.GetH2UpgradePolicy() == meshapi.MeshConfig_UPGRADE
	if set := config.GetDnsRefreshRate(); set != nil {
		if ms := set.AsDuration().Milliseconds(); ms >= 1 {
			e.DNSRefreshMillis = ms
		} else {
			report("dnsRefreshRate", Invalid, "%v is not used; give a millisecond or more", set.AsDuration())
		}
	}
	if set := config.GetProtocolDetectionTimeout(); set != nil {
		if d := set.AsDuration(); d == 0 || d >= time.Millisecond {
			e.DetectionMillis = d.Milliseconds()
		} else {
			report("protocolDetectionTimeout", Invalid, "%v is not used; give a millisecond or more, or 0s to wait as long as it takes", d)
		}
	}
	if set := config.GetPathNormalization(); set != nil {
		e.PathNormalization = normalizations[set.GetNormalization()]
	}
	if set := config.GetExtensionProviders(); len(set) > 0 {
		e.Providers, e.LogProviders = providersOf(set, report)
	}
	e.ServiceExportTo = exportTo(config.GetDefaultServiceExportTo(), "defaultServiceExportTo", report, e.ServiceExportTo)
	e.RoutingExportTo = exportTo(config.GetDefaultVirtualServiceExportTo(), "defaultVirtualServiceExportTo", report, e.RoutingExportTo)
	e.PolicyExportTo = exportTo(config.GetDefaultDestinationRuleExportTo(), "defaultDestinationRuleExportTo", report, e.PolicyExportTo)
	if set := config.GetMeshMTLS(); set != nil {
		e.MeshTLS = limitsOf(set, report.below("meshMTLS"))
		if len(e.MeshTLS.Curves) > 0 {
			e.MeshTLS.Curves = nil
			report("meshMTLS.ecdhCurves", NotSupported, "as in Istio, curves can be chosen for other TLS than the mesh's own only; use tlsDefaults, or remove them")
		}
	}
	if set := config.GetTlsDefaults(); set != nil {
		e.OtherTLS = limitsOf(set, report.below("tlsDefaults"))
	}
	selectorsOf(config.GetDiscoverySelectors(), report)
	switch mode := config.GetInboundTrafficPolicy().GetMode(); mode {
	case meshapi.MeshConfig_InboundTrafficPolicy_PASSTHROUGH:
	case meshapi.MeshConfig_InboundTrafficPolicy_LOCALHOST:
		e.InboundLocalhost = true
	default:
		report("inboundTrafficPolicy.mode", Invalid, "mode %d is none that is known, and PASSTHROUGH holds; use PASSTHROUGH or LOCALHOST", mode)
	}
	e.LocalHosts = localHosts(config.GetServiceSettings(), report)
	s.applyAccessLog(e, report)
	s.applyLogs(e, report)
	s.applyMetrics(e, report)
	return problems
}

// applyOutbound reads what becomes of calls to hosts that the mesh doesn't know.
func (s *settings) applyOutbound(e *model.Settings, report reporter) {
	policy := s.config.GetOutboundTrafficPolicy()
	if s.config.namesOutbound {
		e.OutboundRegistryOnly, e.OutboundByName = false, false
		switch policy.GetMode() {
		case meshapi.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY:
		case meshapi.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY:
			e.OutboundRegistryOnly = true
		case meshapi.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY_DYNAMIC_DNS:
			e.OutboundByName = true
		default:
			report("mode", Invalid, "mode %d is none that is known, and ALLOW_ANY holds; use ALLOW_ANY, REGISTRY_ONLY or ALLOW_ANY_DYNAMIC_DNS", policy.GetMode())
		}
	}
	switch given := policy.GetTls(); {
	case given == nil:
	case e.OutboundByName:
		e.OutboundTLS = networking.OutboundTLS(given, report.below("tls"))
	default:
		report("tls", NoEffect, "only ALLOW_ANY_DYNAMIC_DNS begins TLS to hosts that the mesh doesn't know; use that mode, or remove it")
	}
}

// exportTo checks a default of the mesh: "*", "." or "~" and namespaces.
func exportTo(given []string, field string, report reporter, fallback []string) []string {
	if len(given) == 0 {
		return fallback
	}
	_, unknown := model.VisibilityOf(given, "", nil)
	for _, to := range unknown {
		report(field, Invalid, `%q is no namespace and is left out; use the name of one, ".", "~" or "*"`, to)
	}
	return slices.DeleteFunc(slices.Clone(given), func(to string) bool { return slices.Contains(unknown, to) })
}
