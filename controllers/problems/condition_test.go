// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func about(kind, name, field, reason, message string) model.Problem {
	return model.Problem{Kind: kind, Namespace: "shop", Name: name, Field: field, Reason: reason, Message: message}
}

func TestConditions(t *testing.T) {
	vs := func(field, reason, message string) model.Problem {
		return about("VirtualService", "reviews", field, reason, message)
	}
	many := make([]model.Problem, 30)
	for i := range many {
		many[i] = vs("spec.http["+string(rune('a'+i))+"]", "Invalid", "no")
	}
	tests := map[string]struct {
		problems []model.Problem
		gateway  bool // the Gateway API has a Gateway of the name
		want     []string
	}{
		"None":          {nil, false, nil},
		"Refused":       {[]model.Problem{vs("spec.hosts", "Conflict", "an older one wins; remove one")}, false, []string{"VirtualService reviews False Conflict spec.hosts: an older one wins; remove one"}},
		"NoField":       {[]model.Problem{vs("", "NotTranslated", "too long; cut it")}, false, []string{"VirtualService reviews False NotTranslated too long; cut it"}},
		"Warns":         {[]model.Problem{vs("spec.http[0].x", "NotSupported", "x isn't done; remove it")}, false, []string{"VirtualService reviews True NotSupported spec.http[0].x: x isn't done; remove it"}},
		"NoEffect":      {[]model.Problem{vs("spec.http[0].x", "NoEffect", "nothing")}, false, []string{"VirtualService reviews True NoEffect spec.http[0].x: nothing"}},
		"RefusedFirst":  {[]model.Problem{vs("a", "NotSupported", "1"), vs("z", "Invalid", "2")}, false, []string{"VirtualService reviews False Invalid z: 2; a: 1"}},
		"UnknownReason": {[]model.Problem{vs("a", "Newest", "1")}, false, []string{"VirtualService reviews False Newest a: 1"}},
		"NoReason":      {[]model.Problem{vs("a", "", "1")}, false, []string{"VirtualService reviews False Problem a: 1"}},
		"Twice":         {[]model.Problem{vs("a", "Invalid", "1"), vs("a", "Invalid", "1")}, false, []string{"VirtualService reviews False Invalid a: 1"}},
		"Many": {many, false, []string{"VirtualService reviews False Invalid spec.http[a]: no; spec.http[b]: no; spec.http[c]: no; spec.http[d]: no; " +
			"spec.http[e]: no; spec.http[f]: no; spec.http[g]: no; spec.http[h]: no; and more: mend these first"}},
		"TwoObjects": {
			[]model.Problem{about("Sidecar", "b", "spec", "Invalid", "x"), about("Sidecar", "a", "spec", "Invalid", "x")},
			false,
			[]string{"Sidecar a False Invalid spec: x", "Sidecar b False Invalid spec: x"},
		},
		"OtherKinds":     {[]model.Problem{about("Service", "a", "", "Invalid", "x"), about("HTTPRoute", "a", "", "Invalid", "x"), about("Pod", "a", "", "RejectedByProxy", "x")}, false, nil},
		"NoName":         {[]model.Problem{{Kind: "Sidecar", Reason: "Invalid"}}, false, nil},
		"IstioGateway":   {[]model.Problem{about("Gateway", "edge", "spec", "Invalid", "x")}, false, []string{"Gateway edge False Invalid spec: x"}},
		"GatewayOfTwo":   {[]model.Problem{about("Gateway", "edge", "spec.servers[0]", "Invalid", "x"), about("Gateway", "edge", "spec.listeners[0]", "Invalid", "y")}, true, []string{"Gateway edge False Invalid spec.servers[0]: x"}},
		"GatewayOfOther": {[]model.Problem{about("Gateway", "edge", "spec.listeners[0]", "Invalid", "y")}, true, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			shown := func(problems []model.Problem) []string {
				var out []string
				for o, c := range Conditions(problems, func(_, _ string) bool { return test.gateway }) {
					if o.Namespace != "shop" || c.Type != "Reconciled" || !c.LastTransitionTime.IsZero() || c.ObservedGeneration != 0 {
						t.Errorf("%v: %+v", o, c)
					}
					out = append(out, strings.TrimSpace(strings.Join([]string{o.Kind, o.Name, string(c.Status), c.Reason, c.Message}, " ")))
				}
				slices.Sort(out)
				return out
			}
			if diff := cmp.Diff(test.want, shown(test.problems)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			back := slices.Clone(test.problems)
			slices.Reverse(back)
			if diff := cmp.Diff(test.want, shown(back)); diff != "" {
				t.Errorf("in another order (-want +got):\n%s", diff)
			}
		})
	}
	if c := Condition(nil); c.Status != metav1.ConditionTrue || c.Reason != "Reconciled" || c.Message != "" {
		t.Errorf("an object that is fine has %+v", c)
	}
	if c := Condition([]model.Problem{vs("a", "Invalid", strings.Repeat("x", 100_000))}); len(c.Message) > 8000 {
		t.Errorf("a message has %d bytes", len(c.Message))
	}
}

// TestChartLetsConditionsBeWritten: of each kind, and nothing but the status.
func TestChartLetsConditionsBeWritten(t *testing.T) {
	text, err := os.ReadFile("../../charts/istiod/templates/clusterrole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range kinds {
		if !strings.Contains(string(text), k.Resource+"/status") {
			t.Errorf("the ClusterRole doesn't let the status of %s be written", name)
		}
	}
}
