// SPDX-License-Identifier: Apache-2.0

// Package decisions shows on a real Envoy, fed by the whole pipeline, how calls
// are decided by a real external authorizer (test/opa), and what people see of
// decisions: access logs, statistics, dry runs.
package decisions
