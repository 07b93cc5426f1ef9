// SPDX-License-Identifier: Apache-2.0

package model

// MetricRule is one of a Telemetry's metrics.
type MetricRule struct {
	// Named providers replace those of wider Telemetries. Elsewhere: none of them is
	// Prometheus, so it counts nothing.
	Named, Elsewhere bool
	// Overrides in the order in which they hold; the last one wins.
	Overrides []MetricOverride
}

// MetricOverride changes standard metrics.
type MetricOverride struct {
	// Metric by its name, such as istio_requests_total; empty for all of them.
	Metric string
	Side   PluginMode
	// Count is whether it is counted.
	Count Choice
	// Remove are tags that it is to go without, by Envoy's names for them, sorted.
	Remove []string
	// Set are tags that it is to have, sorted by name; their values are expressions (CEL).
	Set []Header
}

// Choice may be left to others.
type Choice uint8

// The choices.
const (
	Unsaid Choice = iota
	Yes
	No
)
