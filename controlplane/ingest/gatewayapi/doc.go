// SPDX-License-Identifier: Apache-2.0

// Package gatewayapi turns the objects of the Kubernetes Gateway API into
// gateways, routings and policies of the model, and says what their statuses
// are to be. It is the part of ingest for that API; controllers/gatewayapi
// writes the statuses and deploys the gateways. It is pure.
package gatewayapi
