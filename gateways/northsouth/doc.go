// SPDX-License-Identifier: Apache-2.0

// Package northsouth turns the gateways of a model.Mesh, Istio's and the
// Gateway API's, into the Envoy resources of the proxies that they select:
// ingress and egress. It comes after model and scope, and before snapshot. It
// is pure.
//
// A gateway's listeners are gathered by the port that the proxy binds; on one
// port the oldest gateway decides what is spoken there. Hosts tell listeners of
// one port apart: by server name where TLS comes in, by the Host header where
// plain HTTP does. Routings say what is done with what was taken.
package northsouth
