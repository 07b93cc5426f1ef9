// SPDX-License-Identifier: Apache-2.0

package ingest

// What the tests of formats look at.
var (
	LogOperators = logOperators
	CipherSuites = cipherSuites
	Curves       = curves
	WrongFormat  = wrongFormat
	IsStatus     = isStatus
)
