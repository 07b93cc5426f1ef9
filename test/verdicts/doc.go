// SPDX-License-Identifier: Apache-2.0

// Package verdicts holds thousands of objects of the Istio API, sound ones and
// spoilt ones, and what Istio says of each: accepted, with a warning or without,
// or refused, by the schema that the API server asks or by the webhook. Our own
// verdicts are compared with them here, without Istio's code; test/peer asks
// Istio itself and writes the record.
package verdicts
