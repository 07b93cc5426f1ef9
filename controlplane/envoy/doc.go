// SPDX-License-Identifier: Apache-2.0

// Package envoy holds what all translators share: marshalled Envoy resources,
// the layers that proxies' views are made of, and constructors for pieces of
// Envoy configuration. It comes after model and before sidecar, eastwest and
// xds. It is pure.
package envoy
