// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"
)

// Unhonoured are the fields of MeshConfig that nothing here reads, and what to do
// instead of each. With those that are honoured they are all that there are.
var Unhonoured = map[string]string{
	"ca":                        "workloads' certificates come from this member's own CA, whose own comes from the federation: use MeshFederation's spec.trust.root.issuerRef for another CA",
	"caCertificates":            "roots come from the federation: use MeshFederation's spec.trust",
	"certificates":              "it is deprecated in Istio, and the names of the control plane are in its certificate anyway: remove it",
	"configSources":             "configuration comes from this member's API server only: remove it",
	"enableTracing":             "spans are not sent: remove it, or use an EnvoyFilter with a tracing provider",
	"hboneIdleTimeout":          "there is no ambient mode: remove it",
	"inboundClusterStatName":    "statistics keep the clusters' names: remove it",
	"outboundClusterStatName":   "statistics keep the clusters' names: remove it",
	"proxyHttpPort":             "use a Sidecar with an egress listener of protocol HTTP_PROXY",
	"proxyInboundListenPort":    "sidecars take calls on port 15006: remove it",
	"proxyListenPort":           "sidecars take calls of their application on port 15001: remove it",
	"serviceEntryVisibility":    "use exportTo of each ServiceEntry, or defaultServiceExportTo",
	"serviceScopeConfigs":       "there is no ambient mode: what other members see is said by ServiceExports",
	"verifyCertificateAtClient": "it is deprecated in Istio, and servers are verified wherever a CA is known: remove it",
}

// unhonoured are the fields of c that are written, not honoured, and say something
// else than what is done anyway.
func (c *meshConfig) unhonoured() []string {
	anyway := map[string]bool{
		"enableTracing":          !c.GetEnableTracing(),
		"proxyHttpPort":          c.GetProxyHttpPort() == 0,
		"proxyInboundListenPort": c.GetProxyInboundListenPort() == 0 || c.GetProxyInboundListenPort() == 15006,
		"proxyListenPort":        c.GetProxyListenPort() == 0 || c.GetProxyListenPort() == 15001,
	}
	var out []string
	for _, name := range c.set {
		if !anyway[name] && !slices.Contains(honoured, name) {
			out = append(out, name)
		}
	}
	return out
}
