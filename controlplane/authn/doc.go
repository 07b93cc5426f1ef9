// SPDX-License-Identifier: Apache-2.0

// Package authn says who calls the control plane: a workload that shows a
// certificate of the member's CA, or a service account token that the member's
// API server vouches for. xds and ca ask it before they answer anything, and
// take the caller's identity from it alone. Its edges are the TLS state of the
// connection and the API server's TokenReview.
package authn
