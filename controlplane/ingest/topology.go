// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"fmt"

	meshapi "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// AnnotationProxyConfig of a pod changes the mesh's defaultConfig for it.
const AnnotationProxyConfig = "proxy.istio.io/config"

var forwardedCertificates = map[meshapi.ForwardClientCertDetails]model.ForwardedCertificate{
	meshapi.ForwardClientCertDetails_SANITIZE:            model.Sanitize,
	meshapi.ForwardClientCertDetails_FORWARD_ONLY:        model.ForwardOnly,
	meshapi.ForwardClientCertDetails_APPEND_FORWARD:      model.AppendForward,
	meshapi.ForwardClientCertDetails_SANITIZE_SET:        model.SanitizeSet,
	meshapi.ForwardClientCertDetails_ALWAYS_FORWARD_ONLY: model.AlwaysForwardOnly,
}

// topologyOf what stands before gateways; nil when nothing is said. What t leaves
// out is as in fallback.
func topologyOf(t *meshapi.Topology, fallback *model.Topology) *model.Topology {
	if t == nil {
		return fallback
	}
	out := model.Topology{}
	if fallback != nil {
		out = *fallback
	}
	if n := t.GetNumTrustedProxies(); n != 0 {
		out.TrustedProxies = n
	}
	if f := t.GetForwardClientCertDetails(); f != meshapi.ForwardClientCertDetails_UNDEFINED {
		out.Certificate = forwardedCertificates[f]
	}
	out.ProxyProtocol = out.ProxyProtocol || t.GetProxyProtocol() != nil
	return &out
}

// podTopology is what a gateway's pod says of what stands before it; nil takes the mesh's.
func podTopology(p *corev1.Pod, fallback *model.Topology) (*model.Topology, []model.Problem) {
	text := p.Annotations[AnnotationProxyConfig]
	if text == "" {
		return nil, nil
	}
	var written struct {
		GatewayTopology any `json:"gatewayTopology"`
	}
	wrong := func(err error) []model.Problem {
		return []model.Problem{problem("Pod", p, "metadata.annotations["+AnnotationProxyConfig+"]", Invalid,
			"it can't be read, so the gateway trusts nobody before it; correct it: %s", firstOf(err))}
	}
	if err := yaml.Unmarshal([]byte(text), &written); err != nil {
		return nil, wrong(err)
	}
	if written.GatewayTopology == nil {
		return nil, nil
	}
	data, err := yaml.Marshal(map[string]any{"gatewayTopology": written.GatewayTopology})
	if err == nil {
		data, err = yaml.YAMLToJSON(data)
	}
	config := &meshapi.ProxyConfig{}
	if err == nil {
		err = config.UnmarshalJSON(data)
	}
	if err != nil {
		return nil, wrong(cleanProtoError(err))
	}
	return topologyOf(config.GetGatewayTopology(), fallback), nil
}

// firstOf an error's text, which may quote all of a long annotation.
func firstOf(err error) string { return fmt.Sprintf("%.200s", err.Error()) }
