// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/fatih/color"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// federationState is a federation with the members that it selects, sorted by name.
type federationState struct {
	federation v1alpha1.MeshFederation
	members    []v1alpha1.MeshMember
}

func (f federationState) ready() bool {
	return isReady(f.federation.Generation, f.federation.Status.ObservedGeneration, f.federation.Status.Conditions)
}

// isReady: Ready holds for the generation that is there now.
func isReady(generation, observed int64, conditions []metav1.Condition) bool {
	return generation == observed && meta.IsStatusConditionTrue(conditions, v1alpha1.Ready)
}

// waitingFor names what isn't ready in one line; "" when everything is.
func waitingFor(feds []federationState) string {
	if len(feds) == 0 {
		return "a MeshFederation"
	}
	var names []string
	for _, f := range feds {
		if f.ready() {
			continue
		}
		before := len(names)
		for _, m := range f.members {
			if !isReady(m.Generation, m.Status.ObservedGeneration, m.Status.Conditions) {
				names = append(names, "meshmember/"+m.Name+reasonOf(m.Status.Conditions))
			}
		}
		if len(names) == before {
			names = append(names, "meshfederation/"+f.federation.Name+reasonOf(f.federation.Status.Conditions))
		}
	}
	return strings.Join(names, ", ")
}

func reasonOf(conditions []metav1.Condition) string {
	if c := meta.FindStatusCondition(conditions, v1alpha1.Ready); c != nil && c.Reason != "" {
		return " (" + c.Reason + ")"
	}
	return ""
}

// writeTree draws federations and their members, and under each what is wrong with it.
func writeTree(out io.Writer, feds []federationState) error {
	if len(feds) == 0 {
		_, err := fmt.Fprintln(out, "No MeshFederation here. Apply one: config/samples has an example.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.FilterHTML)
	fmt.Fprintln(w, "NAME\tREADY\tNETWORK\tGATEWAY\tEXPORTED\tIMPORTED\tREASON")
	for _, f := range feds {
		s := f.federation.Status
		fmt.Fprintf(w, "MeshFederation %s/%s\t%s\t\t\t%d\t\t%s\n", f.federation.Namespace, f.federation.Name,
			readyWord(f.ready(), s.Conditions), s.ExportedServices, readyReason(s.Conditions))
		for i, m := range f.members {
			branch := "├─"
			if i == len(f.members)-1 {
				branch = "└─"
			}
			s := m.Status
			fmt.Fprintf(w, "%s MeshMember %s\t%s\t%s\t%s\t%d\t%d\t%s\n", branch, m.Name,
				readyWord(isReady(m.Generation, s.ObservedGeneration, s.Conditions), s.Conditions),
				s.Network, s.Gateway.Summary, s.Sync.ExportedServices, s.Sync.ImportedServices, readyReason(s.Conditions))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range feds {
		writeFaults(out, "MeshFederation "+f.federation.Namespace+"/"+f.federation.Name, f.federation.Status.Conditions)
		for _, m := range f.members {
			writeFaults(out, "MeshMember "+m.Namespace+"/"+m.Name, m.Status.Conditions)
		}
	}
	return nil
}

// writeFaults prints the conditions that don't hold, but not the summary of them.
func writeFaults(out io.Writer, object string, conditions []metav1.Condition) {
	for _, c := range conditions {
		if c.Type == v1alpha1.Ready || c.Type == v1alpha1.Reconciling || c.Status == metav1.ConditionTrue {
			continue
		}
		fmt.Fprintf(out, "\n%s %s: %s is %s (%s)\n  %s\n", color.RedString("✗"), object, c.Type, c.Status, c.Reason, c.Message)
	}
}

func readyWord(ready bool, conditions []metav1.Condition) string {
	if ready {
		return "True"
	}
	if c := meta.FindStatusCondition(conditions, v1alpha1.Ready); c != nil && c.Status == metav1.ConditionFalse {
		return "False"
	}
	return "Unknown"
}

func readyReason(conditions []metav1.Condition) string {
	if c := meta.FindStatusCondition(conditions, v1alpha1.Ready); c != nil {
		return c.Reason
	}
	return "NotSeenYet"
}
