// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
)

// mergeMetrics points Prometheus at the agent, which shows Envoy's metrics and
// the application's together, and tells the agent where the application's are.
// A pod that doesn't want to be scraped is left alone.
func mergeMetrics(pod *corev1.Pod, proxy *corev1.Container, original *corev1.Pod, c Config) error {
	wanted := c.Mesh.GetEnablePrometheusMerge() == nil || c.Mesh.GetEnablePrometheusMerge().GetValue()
	if said, err := strconv.ParseBool(original.Annotations["prometheus.istio.io/merge-metrics"]); err == nil {
		wanted = said
	}
	source := metrics.Source{
		Scrape: original.Annotations["prometheus.io/scrape"],
		Scheme: original.Annotations["prometheus.io/scheme"],
		Path:   original.Annotations["prometheus.io/path"],
		Port:   original.Annotations["prometheus.io/port"],
	}
	if !wanted || strings.EqualFold(source.Scrape, "false") {
		return nil
	}
	if source.Port != "" && source.Port != strconv.Itoa(agentPort) {
		body, err := json.Marshal(source)
		if err != nil {
			return fmt.Errorf("write where the application's metrics are: %w", err)
		}
		if _, err := metrics.ParseSource(body, agentPort); err != nil {
			return refuse("%v", err)
		}
		setVariable(proxy, metrics.Variable, string(body))
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations["prometheus.io/scrape"] = "true"
	pod.Annotations["prometheus.io/port"] = strconv.Itoa(agentPort)
	pod.Annotations["prometheus.io/path"] = "/stats/prometheus"
	delete(pod.Annotations, "prometheus.io/scheme")
	return nil
}
