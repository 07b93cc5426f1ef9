// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// short writes conditions as "Type=Status:Reason".
func short(conditions []metav1.Condition) []string {
	out := make([]string, len(conditions))
	for i, c := range conditions {
		out[i] = c.Type + "=" + string(c.Status) + ":" + c.Reason
	}
	return out
}

func TestComplete(t *testing.T) {
	good := True("A", "Fine", "")
	tests := map[string]struct {
		in   []metav1.Condition
		want []string
	}{
		"AllTrue":     {[]metav1.Condition{good}, []string{"Ready=True:Ready", "A=True:Fine"}},
		"UnderWay":    {[]metav1.Condition{good, False("B", "RollingOut", "x")}, []string{"Ready=False:RollingOut", "Reconciling=True:RollingOut", "A=True:Fine", "B=False:RollingOut"}},
		"Unknown":     {[]metav1.Condition{Unknown("B", "NotTried", "x")}, []string{"Ready=Unknown:NotTried", "Reconciling=True:NotTried", "B=Unknown:NotTried"}},
		"Stalled":     {[]metav1.Condition{False("B", v1alpha1.ReasonKubeconfigInvalid, "x")}, []string{"Ready=False:KubeconfigInvalid", "Stalled=True:KubeconfigInvalid", "B=False:KubeconfigInvalid"}},
		"FaultFirst":  {[]metav1.Condition{False("A", "Enrolling", "x"), False("B", v1alpha1.ReasonImagePullFailed, "x")}, []string{"Ready=False:ImagePullFailed", "Reconciling=True:ImagePullFailed", "A=False:Enrolling", "B=False:ImagePullFailed"}},
		"FirstFaults": {[]metav1.Condition{False("A", v1alpha1.ReasonCrashing, "x"), False("B", v1alpha1.ReasonValuesInvalid, "x")}, []string{"Ready=False:Crashing", "Reconciling=True:Crashing", "A=False:Crashing", "B=False:ValuesInvalid"}},
	}
	for name, test := range tests {
		if diff := cmp.Diff(test.want, short(Complete(test.in))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestMerge(t *testing.T) {
	early, late := metav1.NewTime(time.Unix(100, 0)), metav1.NewTime(time.Unix(200, 0))
	before := Merge(nil, []metav1.Condition{True("A", "x", ""), False("B", "x", ""), True("Gone", "x", "")}, 1, early)
	after := Merge(before, []metav1.Condition{True("A", "y", "new"), True("B", "x", "")}, 2, late)
	want := []metav1.Condition{
		{Type: "A", Status: metav1.ConditionTrue, Reason: "y", Message: "new", ObservedGeneration: 2, LastTransitionTime: early},
		{Type: "B", Status: metav1.ConditionTrue, Reason: "x", ObservedGeneration: 2, LastTransitionTime: late},
	}
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !IsTrue(after, "B") || IsTrue(after, "Gone") || Find(after, "Gone") != nil {
		t.Error("the conditions are not found as they are")
	}
}

func TestTransitions(t *testing.T) {
	down := Complete([]metav1.Condition{False("A", v1alpha1.ReasonAPIServerUnreachable, "no answer"), Unknown("B", v1alpha1.ReasonNotTried, "x")})
	other := Complete([]metav1.Condition{False("A", v1alpha1.ReasonUnauthorized, "refused"), Unknown("B", v1alpha1.ReasonNotTried, "x")})
	up := Complete([]metav1.Condition{True("A", "Connected", ""), True("B", "Available", "")})
	tests := map[string]struct {
		before, after []metav1.Condition
		want          []string
	}{
		"First":      {nil, down, []string{"Warning APIServerUnreachable: no answer"}},
		"Same":       {down, down, nil},
		"OtherCause": {down, other, []string{"Warning Unauthorized: refused"}},
		"Up":         {down, up, []string{"Normal Ready: Ready is True", "Normal Connected: A is True", "Normal Available: B is True"}},
		"Down":       {up, down, []string{"Warning APIServerUnreachable: no answer"}},
		"UnderWay":   {up, Complete([]metav1.Condition{True("A", "Connected", ""), False("B", v1alpha1.ReasonRollingOut, "1 of 2")}), []string{"Normal RollingOut: 1 of 2"}},
	}
	for name, test := range tests {
		var got []string
		for _, e := range Transitions(test.before, test.after) {
			got = append(got, e.Type+" "+e.Reason+": "+e.Note)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestLongMessages: neither a condition nor an event is refused for its length.
func TestLongMessages(t *testing.T) {
	c := False("A", "x", "%s", strings.Repeat("ü", 40000))
	if n := len(c.Message); n > 32768 {
		t.Errorf("a message of %d bytes", n)
	}
	for _, e := range Transitions(nil, []metav1.Condition{c}) {
		if n := len(e.Note); n > 1024 || strings.Contains(e.Note, "\uFFFD") {
			t.Errorf("a note of %d bytes", n)
		}
	}
}
