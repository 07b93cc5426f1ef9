// SPDX-License-Identifier: Apache-2.0

package routing

// HTTP status codes (RFC 9110) that routes answer with.
const (
	statusMovedPermanently  = 301
	statusFound             = 302
	statusSeeOther          = 303
	statusTemporaryRedirect = 307
	statusPermanentRedirect = 308
	statusInternal          = 500
	statusUnavailable       = 503
)
