// SPDX-License-Identifier: Apache-2.0

package policy

// NoKey is the key set of an issuer whose keys can't be had: no token verifies
// against it. Envoy takes no empty set. Its one key is a point of curve P-256
// that a hash led to, so nobody, its author included, ever had the private key
// to it; TestNoKey finds it again.
const NoKey = `{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"none","x":"j8YTO6F4lwfjUtBN9x0B2VxrUjZqCGFekkdEiWpJFis","y":"6ihXtRDtzfV1U4aQQzXqpSobLVnU_8IwUS85otBZaD4"}]}`
