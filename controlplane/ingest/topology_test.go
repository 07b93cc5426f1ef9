// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestTopology: what stands before gateways is what a pod's annotation says,
// and where that says nothing what MeshConfig does.
func TestTopology(t *testing.T) {
	const mesh = "defaultConfig: {gatewayTopology: {numTrustedProxies: 1, forwardClientCertDetails: APPEND_FORWARD}}"
	for name, c := range map[string]struct {
		mesh, annotation string
		want             *model.Topology
		problems         int
	}{
		"Nothing":    {},
		"Mesh":       {mesh: mesh},
		"Pod":        {annotation: "gatewayTopology: {numTrustedProxies: 2, proxyProtocol: {}}", want: &model.Topology{TrustedProxies: 2, ProxyProtocol: true}},
		"PodOver":    {mesh: mesh, annotation: "gatewayTopology: {numTrustedProxies: 2}", want: &model.Topology{TrustedProxies: 2, Certificate: model.AppendForward}},
		"PodOther":   {mesh: mesh, annotation: "concurrency: 2"},
		"Malformed":  {annotation: "gatewayTopology: [", problems: 1},
		"WrongType":  {annotation: "gatewayTopology: {numTrustedProxies: many}", problems: 1},
		"NotAMap":    {annotation: "gatewayTopology: 7", problems: 1},
		"Sanitizing": {annotation: "gatewayTopology: {forwardClientCertDetails: SANITIZE}", want: &model.Topology{Certificate: model.Sanitize}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "gateway-1"},
				Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"},
			}
			if c.annotation != "" {
				pod.Annotations = map[string]string{ingest.AnnotationProxyConfig: c.annotation}
			}
			m := ingest.Build(ingest.Input{
				Pods: []*corev1.Pod{pod}, MeshConfig: c.mesh,
				Settings: model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local"},
			}, nil).Mesh
			if d := cmp.Diff(c.want, m.Workloads[0].Topology); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if c.mesh != "" && (m.Settings.Topology == nil || m.Settings.Topology.TrustedProxies != 1) {
				t.Errorf("MeshConfig's is %v", m.Settings.Topology)
			}
			if len(m.Problems) != c.problems {
				t.Errorf("problems are %v", m.Problems)
			}
		})
	}
}
