// SPDX-License-Identifier: Apache-2.0

// Package gatewayapi deploys the proxies of Gateways and writes the statuses of
// the Gateway API's objects. It runs in the member's control plane, after
// ingest, which decides what the statuses say and what is to be deployed; here
// is only what the cluster shows of it, and the writing.
package gatewayapi
