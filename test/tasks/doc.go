// SPDX-License-Identifier: Apache-2.0

// Package tasks shows that the samples of the traffic pages of Istio's
// documentation do what the pages say. Each page is a file in testdata: the
// objects of its steps, and calls with what must come back. The calls are real,
// between pods with real Envoys that the pipeline configures. docs/tasks.md lists
// the pages.
package tasks
