// SPDX-License-Identifier: Apache-2.0

// Package compared asks the same calls of two control planes that got the same
// objects, and compares what becomes of the calls. The files of testdata hold the
// objects, the calls, and what Istio's control plane answers; what ours answers is
// asked anew each time. test/peer, a module of its own, runs Istio's and writes its
// answers down. docs/compared.md lists what is meant to differ, and why.
package compared
