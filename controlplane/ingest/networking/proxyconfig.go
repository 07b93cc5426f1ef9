// SPDX-License-Identifier: Apache-2.0

package networking

import (
	networking "istio.io/client-go/pkg/apis/networking/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindProxyConfig = "ProxyConfig"

// readProxyConfig tells which fields are not honoured: a proxy is configured
// where it is injected, by annotation and MeshConfig.
func readProxyConfig(o *networking.ProxyConfig, settings *model.Settings) []model.Problem {
	r := newReader(kindProxyConfig, o, settings)
	r.labels("spec.selector.matchLabels", o.Spec.GetSelector().GetMatchLabels())
	if c := o.Spec.GetConcurrency(); c != nil {
		if c.GetValue() < 0 {
			r.refuse("spec.concurrency", "%d is below zero; use 0 for all cores, or a number of threads", c.GetValue())
		}
		r.tell("spec.concurrency", notSupported, "proxies don't take it from here; use annotation proxy.istio.io/config on the pod, or meshConfig.defaultConfig")
	}
	if len(o.Spec.GetEnvironmentVariables()) > 0 {
		r.tell("spec.environmentVariables", notSupported, "proxies don't take them from here; use annotation proxy.istio.io/config (proxyMetadata) on the pod, or meshConfig.defaultConfig")
	}
	if o.Spec.GetImage() != nil {
		r.tell("spec.image", notSupported, "proxies don't take it from here; use annotation sidecar.istio.io/proxyImage on the pod")
	}
	return r.problems
}
