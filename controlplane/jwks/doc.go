// SPDX-License-Identifier: Apache-2.0

// Package jwks fetches the key sets that RequestAuthentications name by their
// address. It is an edge of the flow: ingest says what is wanted, and gets what
// was fetched, or why it was not. There is no key to fall back on: a key set
// that can't be had verifies nothing.
//
// Whoever may write a RequestAuthentication chooses the addresses, so the
// control plane never connects to itself, its node, the cloud's metadata or the
// API server for them, wherever names and redirects lead.
package jwks
