// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// clusterSet is the suffix that the multi-cluster services API gives exported services.
const clusterSet = "clusterset.local"

// hostname is a service's canonical name.
func hostname(k key, suffix string) model.Hostname {
	return model.Hostname(strings.ToLower(k.name + "." + k.namespace + ".svc." + suffix))
}

// isLabel is true for one part of a DNS name: lower-case letters, digits and
// hyphens, up to 63, neither first nor last a hyphen.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isName is true for labels joined by dots, up to 253 characters.
func isName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}
