// SPDX-License-Identifier: Apache-2.0

package envoy

// UnreachedHeader is what a sidecar says when it could not connect to its
// application: no part of the request got there, so the caller's proxy may send
// it elsewhere, whatever its method. Virtual hosts take it off answers, so that
// applications never see it.
const UnreachedHeader = "x-isthmesh-unreached"
