// SPDX-License-Identifier: Apache-2.0

// Package echoadvanced pins the module that Istio's echo server and client come
// from: the image echo-advanced of the Gateway API's conformance suite has them.
// It is a module of its own so that Istio's dependencies decide nothing else.
package echoadvanced
