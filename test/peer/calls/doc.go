// SPDX-License-Identifier: Apache-2.0

// Package calls gives Istio's own control plane the objects of test/compared, and
// Istio's samples, and compares what becomes of calls with what ours does. With
// -update it writes Istio's answers into test/compared/testdata.
package calls
