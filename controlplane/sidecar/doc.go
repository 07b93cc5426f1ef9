// SPDX-License-Identifier: Apache-2.0

// Package sidecar turns services and workloads of a model.Mesh into the Envoy
// resources of sidecars: what a workload calls (outbound) and what it takes
// (inbound). It comes after model and before snapshot, which decides who sees
// which resource and remembers what was translated. It is pure; every function
// depends on its arguments only, so a result may be kept as long as they are
// the same pointers.
package sidecar
