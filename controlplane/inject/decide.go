// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The labels and annotations that decide.
const (
	injectKey         = "sidecar.istio.io/inject"
	statusKey         = "sidecar.istio.io/status"
	revisionKey       = "istio.io/rev"
	namespaceLabelKey = "istio-injection"
	proxyContainer    = "istio-proxy"
	initContainer     = "istio-init"
)

// systemNamespaces hold what the cluster itself needs to run.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// skip tells why a pod is not injected; empty when it is. What the pod itself
// says goes over its namespace and the configuration.
func skip(pod *corev1.Pod, namespace string, c Config) string {
	switch {
	case injected(pod):
		return "it has a sidecar already"
	case pod.Spec.HostNetwork:
		return "it uses the node's network, which must not be redirected"
	case pod.Spec.OS != nil && pod.Spec.OS.Name != "" && pod.Spec.OS.Name != corev1.Linux:
		return "its operating system is not Linux"
	case slices.Contains(systemNamespaces, namespace):
		return "its namespace is the cluster's own"
	case c.NamespaceLabels[namespaceLabelKey] == "disabled":
		return "its namespace has the label istio-injection=disabled"
	}
	if rev := pod.Labels[revisionKey]; rev != "" && rev != c.Revision {
		return "it asks for revision " + rev
	}
	if rev := c.NamespaceLabels[revisionKey]; rev != "" && rev != c.Revision && pod.Labels[revisionKey] == "" && c.NamespaceLabels[namespaceLabelKey] == "" {
		return "its namespace asks for revision " + rev
	}

	said, ok := pod.Labels[injectKey]
	if !ok {
		said = pod.Annotations[injectKey]
	}
	switch strings.ToLower(said) {
	case "true", "yes", "y", "on":
		return ""
	case "":
	default:
		return "it says " + injectKey + "=" + said
	}
	set := labels.Set(pod.Labels)
	matches := func(s labels.Selector) bool { return s.Matches(set) }
	switch {
	case slices.ContainsFunc(c.Never, matches):
		return "neverInjectSelector matches it"
	case slices.ContainsFunc(c.Always, matches), c.Enabled:
		return ""
	default:
		return "the injection policy is disabled, and it doesn't ask for a sidecar"
	}
}

// injected tells whether this engine, or another of its kind, was here before.
func injected(pod *corev1.Pod) bool {
	if pod.Annotations[statusKey] == "" {
		return false
	}
	proxy := func(c corev1.Container) bool { return c.Name == proxyContainer }
	return slices.ContainsFunc(pod.Spec.Containers, proxy) || slices.ContainsFunc(pod.Spec.InitContainers, proxy)
}
