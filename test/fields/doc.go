// SPDX-License-Identifier: Apache-2.0

// Package fields holds no code but tests: no field of Istio's networking API is
// ignored in silence. Objects in testdata set every field that there is; each of
// them is taken away in turn, and each value of an enumeration put in, and then what
// some proxy gets is another thing, or a Problem names the field. What is honoured
// elsewhere than in configuration of proxies is listed with where.
package fields
