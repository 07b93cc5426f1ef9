// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"maps"
	"strings"
	"time"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// notTheirs are labels that decide on how others call a machine, and that it
// doesn't choose; or that stand elsewhere in the entry.
var notTheirs = []string{"security.istio.io/tlsMode", "istio-locality", "topology.istio.io/locality"}

// Entry of a machine that its group admits, connected to a replica since a time.
// Labels are the group's and, where that has none of the name, the machine's;
// network and locality are the machine's where it tells them.
func Entry(m *model.Machine, group *networking.WorkloadGroup, replica string, since time.Time) *networking.WorkloadEntry {
	key := KeyOf(m)
	e := &networking.WorkloadEntry{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.istio.io/v1", Kind: "WorkloadEntry"},
		ObjectMeta: metav1.ObjectMeta{
			Name: key.Name, Namespace: key.Namespace,
			Annotations: map[string]string{},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "networking.istio.io/v1", Kind: "WorkloadGroup", Name: group.Name, UID: group.UID, Controller: new(true),
			}},
		},
	}
	if t := group.Spec.GetTemplate(); t != nil {
		t.DeepCopyInto(&e.Spec)
	}
	e.Spec.Address = m.Address.Unmap().String()
	e.Spec.ServiceAccount = accountOf(e.Spec.GetServiceAccount())
	if m.Network != "" {
		e.Spec.Network = string(m.Network)
	}
	if l := localityText(m.Locality); l != "" {
		e.Spec.Locality = l
	}
	e.Spec.Labels = map[string]string{}
	for _, from := range []map[string]string{chosen(m.Labels), group.Spec.GetTemplate().GetLabels(), group.Spec.GetMetadata().GetLabels()} {
		for name, value := range from {
			if len(validation.IsQualifiedName(name))+len(validation.IsValidLabelValue(value)) == 0 {
				e.Spec.Labels[name] = value
			}
		}
	}
	e.Labels = maps.Clone(e.Spec.Labels)
	for name, value := range group.Spec.GetMetadata().GetAnnotations() {
		if !Reserved(name) && len(validation.IsQualifiedName(strings.ToLower(name))) == 0 {
			e.Annotations[name] = value
		}
	}
	e.Annotations[GroupAnnotation] = group.Name
	e.Annotations[ControllerAnnotation] = replica
	e.Annotations[ConnectedAnnotation] = stamp(since)
	if group.Spec.GetProbe() != nil || m.Probed {
		e.Annotations[HealthAnnotation] = "true"
	}
	return e
}

// chosen are the labels that a machine may choose.
func chosen(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	for _, name := range notTheirs {
		delete(out, name)
	}
	return out
}

// Reserved is true for an annotation of entries that only this package sets.
func Reserved(annotation string) bool {
	return strings.HasPrefix(annotation, "istio.io/") || annotation == HealthAnnotation
}

func localityText(l model.Locality) string {
	return strings.TrimRight(strings.Join([]string{l.Region, l.Zone, l.SubZone}, "/"), "/")
}

// stamp is a time in Istio's form.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// stamped reads a time; zero when there is none, or it can't be read.
func stamped(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
