// SPDX-License-Identifier: Apache-2.0

// Package peer is what a proxy learns of the workload at the other end of a
// connection, packed into one DNS name of that workload's certificate. The CA
// writes it (package ca), Envoy hands it on unread as a tag of the standard
// metrics (package standardmetrics), and the agent makes labels of it (package
// agent/metrics). Pure.
package peer

import "strings"

// Peer is a workload as the labels of the standard metrics name it. What isn't known is
// empty.
type Peer struct {
	Workload, Namespace, App, Version string
	CanonicalService                  string
	CanonicalRevision                 string
	Cluster                           string
}

const (
	between = "|"
	// joined is between several DNS names of one certificate, as Envoy writes them.
	joined  = ","
	fields  = 7
	longest = 253
)

// String packs the peer: workload|namespace|app|version|service|revision|cluster. A
// value that a certificate, or this form, can't hold is left out.
func (p Peer) String() string {
	out := []string{p.Workload, p.Namespace, p.App, p.Version, p.CanonicalService, p.CanonicalRevision, p.Cluster}
	for i, v := range out {
		if !fits(v) {
			out[i] = ""
		}
	}
	return strings.Join(out, between)
}

// Parse reads what String wrote, alone or among other DNS names that commas join.
// It is false when there is none.
func Parse(names string) (Peer, bool) {
	for name := range strings.SplitSeq(names, joined) {
		v := strings.Split(name, between)
		if len(v) != fields {
			continue
		}
		return Peer{Workload: v[0], Namespace: v[1], App: v[2], Version: v[3], CanonicalService: v[4], CanonicalRevision: v[5], Cluster: v[6]}, true
	}
	return Peer{}, false
}

// fits is false for what is no visible ASCII, too long, or looks like more than one
// value, and for empty labels of a DNS name, with which no certificate verifies.
func fits(v string) bool {
	if len(v) > longest || strings.Contains(v, between) || strings.Contains(v, joined) ||
		strings.Contains(v, "..") || strings.HasPrefix(v, ".") || strings.HasSuffix(v, ".") {
		return false
	}
	for i := range len(v) {
		if v[i] <= ' ' || v[i] > '~' {
			return false
		}
	}
	return true
}
