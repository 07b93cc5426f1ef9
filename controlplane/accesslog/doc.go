// SPDX-License-Identifier: Apache-2.0

// Package accesslog gives listeners the access logs that Telemetries ask for, in
// place of the mesh's own, and changes the metrics that they count. It comes after the
// translators, whose listeners it changes, and before extension and patch; snapshot
// calls it and remembers the results. Pure.
package accesslog
