// SPDX-License-Identifier: Apache-2.0

// Package metrics asks Prometheus itself: the pages that agents show of a few
// calls are read by its scraper's parser and put into its query engine, and
// then the queries of Istio's Grafana dashboards and of Kiali must find them.
package metrics
