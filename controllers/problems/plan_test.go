// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestPlan tells what is due at second 100, and in how many seconds something is.
func TestPlan(t *testing.T) {
	at := func(second int64) time.Time {
		if second == 0 {
			return time.Time{}
		}
		return time.Unix(second, 0)
	}
	bad := Condition([]model.Problem{about("Sidecar", "x", "spec", "Invalid", "bad")})
	worse := Condition([]model.Problem{about("Sidecar", "x", "spec", "Invalid", "worse")})
	rejected := Condition([]model.Problem{about("Sidecar", "x", "spec", model.RejectedByProxy, "no")})
	fine := Condition(nil)
	one := Seen{UID: "u", Generation: 1}
	tests := map[string]struct {
		seen  *Seen // nil: the object is gone
		now   *metav1.Condition
		entry *entry
		due   string
		next  int64
		left  bool // it is remembered
	}{
		"FineAndUnknown":     {&one, nil, nil, "", 0, false},
		"New":                {&one, &bad, nil, "False 1", 0, true},
		"NotInTheMesh":       {nil, &bad, nil, "", 0, false},
		"Told":               {&one, &bad, &entry{last: told{one, bad}, sure: true}, "", 0, true},
		"ToldLookAgain":      {&one, &bad, &entry{last: told{one, bad}}, "False 1", 0, true},
		"Gone":               {nil, nil, &entry{last: told{one, bad}, sure: true}, "", 0, false},
		"Edited":             {&Seen{"u", 2}, &bad, &entry{last: told{one, bad}, sure: true, at: at(99)}, "False 2", 0, true},
		"EditedAndMended":    {&Seen{"u", 2}, nil, &entry{last: told{one, bad}, sure: true, at: at(99)}, "True 2", 0, true},
		"MendedByOthers":     {&one, nil, &entry{last: told{one, bad}, sure: true, at: at(50)}, "", 10, true},
		"MendedByOthersLong": {&one, nil, &entry{last: told{one, bad}, sure: true, at: at(50), fine: at(90)}, "True 1", 0, true},
		"ProxiesHaveToTry":   {&Seen{"u", 2}, nil, &entry{last: told{one, rejected}, sure: true, at: at(50)}, "", 10, true},
		"OtherMessage":       {&one, &worse, &entry{last: told{one, bad}, sure: true, at: at(50)}, "False 1", 0, true},
		"OtherMessageSoon":   {&one, &worse, &entry{last: told{one, bad}, sure: true, at: at(97)}, "", 7, true},
		"WorseAgain":         {&one, &bad, &entry{last: told{one, fine}, sure: true, at: at(50), fine: at(50)}, "False 1", 0, true},
		"FineStays":          {&one, nil, &entry{last: told{one, fine}, sure: true, fine: at(50)}, "", 0, true},
		"FineEdited":         {&Seen{"u", 5}, nil, &entry{last: told{one, fine}, sure: true, fine: at(50)}, "True 5", 0, true},
		"MadeAnew":           {&Seen{"v", 1}, &bad, &entry{last: told{one, bad}, sure: true}, "False 1", 0, true},
		"Failed":             {&one, &bad, &entry{notBefore: at(130)}, "", 30, true},
		"FineBeforeTold":     {&one, nil, &entry{notBefore: at(130)}, "", 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := Object{"Sidecar", "shop", "x"}
			facts := Facts{Conditions: map[Object]metav1.Condition{}, Find: func(Object) (Seen, bool) {
				if test.seen == nil {
					return Seen{}, false
				}
				return *test.seen, true
			}}
			if test.now != nil {
				facts.Conditions[o] = *test.now
			}
			memory := map[Object]*entry{}
			if test.entry != nil {
				memory[o] = test.entry
			}
			due, next := plan(facts, memory, at(100), 10*time.Second)
			got := ""
			for _, d := range due {
				got += fmt.Sprintf("%s %d", d.want.condition.Status, d.want.seen.Generation)
			}
			wait := int64(0)
			if !next.IsZero() {
				wait = next.Unix() - 100
			}
			if got != test.due || wait != test.next || (memory[o] != nil) != test.left {
				t.Errorf("due %q in %d s, remembered %v; want %q in %d s, %v", got, wait, memory[o] != nil, test.due, test.next, test.left)
			}
		})
	}
	t.Run("BeforeTheFirstMesh", func(t *testing.T) {
		memory := map[Object]*entry{{"Sidecar", "shop", "x"}: {last: told{one, bad}}}
		if due, _ := plan(Facts{}, memory, at(100), 0); len(due) > 0 || len(memory) != 1 {
			t.Errorf("due %v, %d remembered", due, len(memory))
		}
	})
	t.Run("NewsFirst", func(t *testing.T) {
		a, b := Object{"Sidecar", "shop", "a"}, Object{"Sidecar", "shop", "b"}
		facts := Facts{Conditions: map[Object]metav1.Condition{a: bad, b: worse}, Find: func(Object) (Seen, bool) { return one, true }}
		due, _ := plan(facts, map[Object]*entry{a: {last: told{one, bad}}}, at(100), 0)
		var got []Object
		for _, d := range due {
			got = append(got, d.of)
		}
		if diff := cmp.Diff([]Object{b, a}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
