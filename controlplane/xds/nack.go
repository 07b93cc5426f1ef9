// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// Nack is a client's refusal of a response.
type Nack struct {
	// Nonce of the response.
	Nonce string
	// Message is the client's reason, cut to a bounded length.
	Message string
	// Resources that the reason names, sorted; empty when it names none.
	Resources []string
	Time      time.Time
}

const maxReason = 2048

func clipReason(s string) string {
	if len(s) > maxReason {
		return strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}

// blame finds the resources that a client's reason for rejecting a payload
// speaks of, sorted. One that came alone is to blame in any case.
func blame(p *payload, reason string) []string {
	var out []string
	resources := p.all()
	for _, r := range resources {
		if len(resources) == 1 || mentions(reason, r.Name) {
			out = append(out, r.Name)
		}
	}
	if len(out) == 0 {
		// Rules of policies come beside plugins, of which many a one can't be run.
		others := slices.DeleteFunc(slices.Clone(resources), func(r *envoy.Resource) bool { return strings.HasPrefix(r.Name, envoy.Authorizations) })
		if len(others) == 1 {
			out = []string{others[0].Name}
		}
	}
	slices.Sort(out)
	return out
}

// mentions is true when the text has the name and not just a longer one that
// begins or ends with it, as 0.0.0.0_8080 does with 0.0.0.0_80.
func mentions(text, name string) bool {
	if name == "" {
		return false
	}
	for from := 0; ; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		begin, end := from+i, from+i+len(name)
		if (begin == 0 || !inName(text[begin-1])) && (end == len(text) || !inName(text[end])) {
			return true
		}
		from = begin + 1
	}
}

func inName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '|'
}
