// SPDX-License-Identifier: Apache-2.0

// Package conformance has nothing without the build tag conformance.
package conformance
