// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestEvents: each step is what the mesh says next; the Events of all that are
// there after it, and how many writes it took, are compared.
func TestEvents(t *testing.T) {
	about := func(kind, name, reason, message string) model.Problem {
		return model.Problem{Kind: kind, Namespace: "shop", Name: name, Field: "spec.rules", Reason: reason, Message: message}
	}
	wrong := about("Ingress", "front", "UnknownDestination", "no Service")
	long := about("Ingress", "front", "Conflict", strings.Repeat("ä", 2000))
	many := make([]model.Problem, 20)
	for i := range many {
		many[i] = about("Ingress", "front", "Conflict", fmt.Sprintf("%02d", i))
	}
	const one = "Warning UnknownDestination Ingress/front networking.k8s.io/v1 uid-front: spec.rules: no Service"
	type step struct {
		problems []model.Problem
		restart  bool
		want     []string
		writes   int
	}
	for name, steps := range map[string][]step{
		"Once":          {{[]model.Problem{wrong}, false, []string{one}, 1}, {[]model.Problem{wrong, wrong}, false, []string{one}, 0}},
		"ByOneLeader":   {{[]model.Problem{wrong}, false, []string{one}, 1}, {[]model.Problem{wrong}, true, []string{one}, 1}, {[]model.Problem{wrong}, false, []string{one}, 0}},
		"ComesBack":     {{[]model.Problem{wrong}, false, []string{one}, 1}, {nil, false, []string{one}, 0}, {[]model.Problem{wrong}, false, []string{one + " (2 times)"}, 2}},
		"TooLong":       {{[]model.Problem{long}, false, []string{"Warning Conflict Ingress/front networking.k8s.io/v1 uid-front: spec.rules: " + strings.Repeat("ä", 506)}, 1}},
		"OthersKinds":   {{[]model.Problem{about("Service", "front", "Conflict", "x"), about("HTTPRoute", "route", "ResolvedRefs", "in its status")}, false, nil, 0}},
		"NotThere":      {{[]model.Problem{about("Ingress", "gone", "Conflict", "x")}, false, nil, 0}},
		"AHiddenRoute":  {{[]model.Problem{about("HTTPRoute", "route", "Conflict", "hidden")}, false, []string{"Warning Conflict HTTPRoute/route gateway.networking.k8s.io/v1 uid-route: spec.rules: hidden"}, 1}},
		"NotAllOfThem":  {{many, false, eventsOf(many[:mostEvents]), mostEvents}},
		"NobodysMatter": {{nil, false, nil, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientset()
			controller := &Controller{Kube: kube}
			for i, s := range steps {
				if s.restart {
					controller = &Controller{Kube: kube}
				}
				kube.ClearActions()
				w := Wanted{}
				w.Tell(s.problems, func(_, _, name string) types.UID {
					if name == "gone" {
						return ""
					}
					return types.UID("uid-" + name)
				})
				if err := controller.events(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				if n := len(kube.Actions()); n != s.writes {
					t.Errorf("step %d: %d writes, want %d: %v", i, n, s.writes, kube.Actions())
				}
				if d := cmp.Diff(s.want, listed(t, kube)); d != "" {
					t.Errorf("step %d (-want +got):\n%s", i, d)
				}
			}
		})
	}
}

func eventsOf(problems []model.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, "Warning Conflict Ingress/front networking.k8s.io/v1 uid-front: spec.rules: "+p.Message)
	}
	return out
}

func listed(t *testing.T, kube kubernetes.Interface) []string {
	t.Helper()
	list, err := kube.EventsV1().Events("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list.Items {
		of := e.Regarding
		text := fmt.Sprintf("%s %s %s/%s %s %s: %s", e.Type, e.Reason, of.Kind, of.Name, of.APIVersion, of.UID, e.Note)
		if e.Series != nil {
			text += fmt.Sprintf(" (%d times)", e.Series.Count)
		}
		if len(e.Note) > maxNote || !utf8.ValidString(e.Note) || e.EventTime.IsZero() || e.Action == "" || e.ReportingController == "" || e.ReportingInstance == "" {
			t.Errorf("the API server would refuse %+v", e)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}
