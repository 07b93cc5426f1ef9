// SPDX-License-Identifier: Apache-2.0

// Package credential reads certificates, keys and CAs out of Secrets and
// ConfigMaps, as ingest does with the objects that gateways refer to. It says
// before Envoy would what is wrong with one. It is pure.
package credential
