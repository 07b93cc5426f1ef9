// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func rejected(name, message string) model.Problem {
	return about("VirtualService", name, "spec", model.RejectedByProxy, message)
}

// one finds objects that are as they were when they were created.
func one(o Object) (Seen, bool) { return Seen{UID: "u-" + o.Name, Generation: 1}, o.Name != "gone" }

func names(list []Said) string {
	var out []string
	for _, s := range list {
		out = append(out, s.Problem.Name+" "+s.Problem.Message)
	}
	return strings.Join(out, ", ")
}

// TestRejected: a replica tells of what proxies found, each part of an object once,
// and no more than others are to read.
func TestRejected(t *testing.T) {
	many := make([]model.Problem, 0, 500)
	for i := range 500 {
		many = append(many, rejected(fmt.Sprintf("n%03d", i), strings.Repeat("x", 5000)))
	}
	for name, test := range map[string]struct {
		found []model.Problem
		want  string
	}{
		"Nothing":      {nil, ""},
		"ProxiesOnly":  {[]model.Problem{about("VirtualService", "a", "spec", "Invalid", "x"), rejected("b", "y")}, "b y"},
		"KindsOnly":    {[]model.Problem{about("Pod", "a", "", model.RejectedByProxy, "x"), about("ConfigMap", "a", "", model.RejectedByProxy, "x")}, ""},
		"GatewayAPI":   {[]model.Problem{about("HTTPRoute", "a", "spec", model.RejectedByProxy, "x")}, "a x"},
		"OncePerField": {[]model.Problem{rejected("a", "2"), rejected("a", "1"), rejected("b", "3")}, "a 1, b 3"},
		"NoObject":     {[]model.Problem{rejected("gone", "1")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(test.want, names(Rejected(test.found, one))); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	text := encode(Rejected(many, one))
	if n := len(decode(text)); n != mostSaid || len(text) > 400<<10 {
		t.Errorf("of 500 there are %d in %d bytes", n, len(text))
	}
}

// TestWith: what others say counts for the object as it is, and only where nothing
// is known here.
func TestWith(t *testing.T) {
	said := func(name, message string, generation int64) Said {
		return Said{rejected(name, message), Seen{UID: "u-" + name, Generation: generation}}
	}
	found := []model.Problem{rejected("a", "here")}
	others := []Said{said("a", "there", 1), said("b", "there", 1), said("b", "elsewhere", 1), said("c", "old", 0), said("gone", "x", 1)}
	var got []string
	for _, p := range With(found, others, one) {
		got = append(got, p.Name+" "+p.Message)
	}
	if d := cmp.Diff([]string{"a here", "b there"}, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestWhoseGateway: two APIs have a kind of this name, and the field tells which
// of them is spoken of.
func TestWhoseGateway(t *testing.T) {
	for field, want := range map[string]string{
		"spec.servers[1]": "Gateway", "spec.selector": "Gateway", "spec.listeners[1]": gatewayOfAPI,
	} {
		if got := (Said{Problem: about("Gateway", "g", field, model.RejectedByProxy, "x")}).object().Kind; got != want {
			t.Errorf("%s is of kind %s, want %s", field, got, want)
		}
	}
}

// TestDecode reads what anybody may have written.
func TestDecode(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"Empty":       {"", ""},
		"NoJSON":      {"{", ""},
		"OtherJSON":   {`{"a": 1}`, ""},
		"OtherReason": {`[{"problem": {"Kind": "VirtualService", "Name": "a", "Reason": "Invalid"}}]`, ""},
		"OtherKind":   {`[{"problem": {"Kind": "Secret", "Name": "a", "Reason": "RejectedByProxy"}}]`, ""},
		"Fine":        {encode([]Said{{rejected("a", "m"), Seen{"u", 3}}}), "a m"},
		"Huge":        {encode([]Said{{rejected("a", strings.Repeat("m", 9000)), Seen{"u", 3}}}), "a " + strings.Repeat("m", longestSaid) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(test.want, names(decode(test.text))); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
