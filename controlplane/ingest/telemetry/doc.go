// SPDX-License-Identifier: Apache-2.0

// Package telemetry turns what Istio's Telemetry says of access logs into the model.
// It is a part of ingest, pure, and stands between informers (objects) and
// controlplane/accesslog (what proxies log). Its sections of metrics and traces are
// not acted on, and told.
package telemetry
