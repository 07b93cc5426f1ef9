// SPDX-License-Identifier: Apache-2.0

// Package eastwest turns the exported services of a model.Mesh into the Envoy
// resources of the gateway between networks. It comes after model and before
// snapshot. It is pure.
//
// The gateway passes TLS through: it reads the server name that the client
// sends in the clear, and has neither a key nor a word of what is said. The
// session is between the workloads. Only the checks that gateways make of each
// other (check.go) end in the gateway itself, with its own certificate.
package eastwest
