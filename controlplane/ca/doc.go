// SPDX-License-Identifier: Apache-2.0

// Package ca issues the certificates of one member's workloads, over Istio's
// CSR API (istio.v1.auth.IstioCertificateService) and to the control plane
// itself. It stands beside the flow from objects to proxies: authn says who
// asks, federation/trust made the signer, and what is issued here is what
// Envoy shows to other workloads. Reading and writing Secrets is in store.go;
// the rest touches nothing outside.
package ca
