// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var reviews = Peer{
	Workload: "reviews-v2", Namespace: "shop", App: "reviews", Version: "v2",
	CanonicalService: "reviews", CanonicalRevision: "v2", Cluster: "east",
}

// TestParse: what was packed comes out again, whatever other names are beside it.
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		names string
		want  Peer
		ok    bool
	}{
		"Packed":     {"reviews-v2|shop|reviews|v2|reviews|v2|east", reviews, true},
		"AmongNames": {"istiod.istio-system.svc,reviews-v2|shop|reviews|v2|reviews|v2|east,x", reviews, true},
		"NamesOnly":  {"istiod.istio-system.svc,istiod", Peer{}, false},
		"Nothing":    {"", Peer{}, false},
		"Unknown":    {"||||||", Peer{}, true},
		"TooFew":     {"reviews-v2|shop|reviews|v2|reviews|v2", Peer{}, false},
		"TooMany":    {"reviews-v2|shop|reviews|v2|reviews|v2|east|more", Peer{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Parse(c.names)
			if d := cmp.Diff(c.want, got); d != "" || ok != c.ok {
				t.Errorf("%t %s", ok, d)
			}
		})
	}
}

// TestString: a value that would break the form is left out, the others stay.
func TestString(t *testing.T) {
	for name, version := range map[string]string{
		"Separator": "v|2", "Comma": "v,2", "Space": "v 2", "Control": "v\n2", "NoASCII": "vé", "Delete": "v\x7f", "Dots": "1..2", "DotFirst": ".2", "DotLast": "2.", "Long": strings.Repeat("v", 254),
	} {
		t.Run(name, func(t *testing.T) {
			p, want := reviews, reviews
			p.Version, want.Version = version, ""
			got, ok := Parse(p.String())
			if d := cmp.Diff(want, got); d != "" || !ok {
				t.Errorf("%t %s", ok, d)
			}
		})
	}
	whole := reviews
	whole.Workload = strings.Repeat("w", 253)
	if got, _ := Parse(whole.String()); got != whole {
		t.Errorf("of 253 bytes: %+v", got)
	}
}
