// SPDX-License-Identifier: Apache-2.0

// Package patch applies the patches of EnvoyFilters to the Envoy resources of
// one kind of proxies. It comes after the translators and before xds; snapshot
// calls it and remembers the results. Pure.
//
// A patch that can't be read, or that makes a resource which breaks the rules of
// Envoy's API, is left out and told; the others hold.
package patch
