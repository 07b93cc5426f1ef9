// SPDX-License-Identifier: Apache-2.0

// Package destination turns the model's traffic policies (DestinationRule,
// BackendTLSPolicy) into the fields of Envoy clusters, hash policies and the
// order of endpoints. The translators of sidecars and gateways make the cluster
// and its endpoints, and call it. Pure.
package destination
