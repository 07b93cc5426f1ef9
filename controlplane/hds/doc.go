// SPDX-License-Identifier: Apache-2.0

// Package hds asks this member's east-west gateways whether those of other
// networks answer, over Envoy's health discovery service, and makes one verdict
// of what they say. It stands beside xds, and its verdicts go back into ingest.
//
// A verdict only puts a gateway behind others: who checks may be wrong, so
// nothing is taken away by it, and whoever says nothing, or not any more, says
// nothing against a gateway.
package hds
