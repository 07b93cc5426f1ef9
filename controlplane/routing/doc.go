// SPDX-License-Identifier: Apache-2.0

// Package routing turns the model's rules into Envoy routes and filter chains.
// It comes after ingest, which made VirtualServices and routes of the Gateway
// API into model.Routing, and is called by the translators of sidecars and
// gateways, which know the callers, the hosts and the clusters. Pure.
package routing
