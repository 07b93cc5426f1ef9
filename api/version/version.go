// SPDX-License-Identifier: Apache-2.0

// Package version tells which build this is. The linker sets it
// (-X github.com/isthmesh/isthmesh/api/version.Version=…).
package version

// Version and Commit of this build.
var (
	Version = "dev"
	Commit  = "unknown"
)
