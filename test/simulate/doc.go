// SPDX-License-Identifier: Apache-2.0

// Package simulate walks a connection through translated Envoy resources, as
// Envoy would, and says where it ends and why. It knows only what Envoy is
// told: listeners, filter chains, routes, clusters, endpoints. What it has to
// take from Envoy's behaviour is shown to be so by the tests of real Envoys in
// test/pipeline.
package simulate
