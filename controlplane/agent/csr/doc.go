// SPDX-License-Identifier: Apache-2.0

// Package csr gets a workload its certificate: a key that is made here and
// never leaves the process, a signing request to the control plane over TLS,
// proven by the pod's service account token, and a new key at half of the
// certificate's life. What comes out is a Leaf, which sds gives to Envoy.
package csr
