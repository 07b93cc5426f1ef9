// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// builtinMetrics is the provider of metrics that every mesh has.
const builtinMetrics = "prometheus"

// applyMetrics reads whether proxies count calls: they do unless the default providers
// of metrics are named and Prometheus is none of them.
func (s *settings) applyMetrics(e *model.Settings, report reporter) {
	e.MetricProviders = []string{builtinMetrics}
	kinds := map[string]string{builtinMetrics: builtinMetrics}
	for _, p := range s.config.GetExtensionProviders() {
		if p.GetName() == "" {
			continue
		}
		name := strings.ToLower(p.GetName())
		kinds[name] = providerKind(p)
		if p.GetPrometheus() != nil {
			e.MetricProviders = append(e.MetricProviders, name)
		}
	}
	slices.Sort(e.MetricProviders)
	e.MetricProviders = slices.Compact(e.MetricProviders)
	named := s.config.GetDefaultProviders().GetMetrics()
	e.StandardMetrics = len(named) == 0
	for i, name := range named {
		field := fmt.Sprintf("defaultProviders.metrics[%d]", i)
		kind, known := kinds[strings.ToLower(name)]
		switch {
		case slices.Contains(e.MetricProviders, strings.ToLower(name)):
			e.StandardMetrics = true
		case known:
			report(field, NotSupported, "provider %q is of kind %s, and metrics go to Prometheus only; name %s", name, kind, builtinMetrics)
		default:
			report(field, Invalid, "no provider of metrics is called %q; name %s, or add it to extensionProviders with kind prometheus", name, builtinMetrics)
		}
	}
}
