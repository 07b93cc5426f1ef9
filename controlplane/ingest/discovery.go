// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	meshapi "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// selectorsOf reads discoverySelectors. One that can't be read selects nothing.
func selectorsOf(given []*meshapi.LabelSelector, report reporter) []labels.Selector {
	var all []labels.Selector
	for i, g := range given {
		written := &metav1.LabelSelector{MatchLabels: g.GetMatchLabels()}
		for _, e := range g.GetMatchExpressions() {
			written.MatchExpressions = append(written.MatchExpressions, metav1.LabelSelectorRequirement{
				Key: e.GetKey(), Operator: metav1.LabelSelectorOperator(e.GetOperator()), Values: e.GetValues(),
			})
		}
		selector, err := metav1.LabelSelectorAsSelector(written)
		if err != nil {
			report(fmt.Sprintf("discoverySelectors[%d]", i), Invalid, "it selects no namespace; correct it: %s", err)
			selector = labels.Nothing()
		}
		all = append(all, selector)
	}
	return all
}

// discovered are the namespaces whose objects the mesh is made of: those that
// one of the selectors selects, and the root namespace. Nil is all of them.
type discovered map[string]bool

// discover asks the selectors of every namespace.
func discover(s *settings, namespaces []*corev1.Namespace) discovered {
	if len(s.config.GetDiscoverySelectors()) == 0 {
		return nil
	}
	selectors := selectorsOf(s.config.GetDiscoverySelectors(), func(string, string, string, ...any) {})
	next := discovered{s.RootNamespace: true}
	for _, ns := range namespaces {
		if slices.ContainsFunc(selectors, func(l labels.Selector) bool { return l.Matches(labels.Set(ns.Labels)) }) {
			next[ns.Name] = true
		}
	}
	return next
}

// narrowing remembers what was left of each kind of object, so that what did
// not change stays the same slice.
type narrowing struct {
	by   discovered
	kept map[reflect.Type]keptObjects
}

// keptObjects of one kind: slices of it, as given and as kept.
type keptObjects struct{ given, kept reflect.Value }

// of returns in without the objects of namespaces that are not discovered.
// Objects outside of namespaces stay.
func (by discovered) of(in *Input, prev narrowing) (*Input, narrowing) {
	if by == nil {
		return in, narrowing{}
	}
	next := narrowing{by: by, kept: map[reflect.Type]keptObjects{}}
	out := *in
	for _, part := range []any{&out, &out.Istio, &out.GatewayAPI} {
		fields := reflect.ValueOf(part).Elem()
		for i := range fields.NumField() {
			f := fields.Field(i)
			if f.Kind() != reflect.Slice || !f.Type().Elem().Implements(reflect.TypeFor[metav1.Object]()) {
				continue
			}
			known, ok := prev.kept[f.Type()]
			if !ok || !maps.Equal(prev.by, by) || known.given.Len() != f.Len() || known.given.Pointer() != f.Pointer() {
				known = keptObjects{reflect.ValueOf(f.Interface()), by.keep(f)}
			}
			next.kept[f.Type()] = known
			f.Set(known.kept)
		}
	}
	return &out, next
}

// keep copies the objects of a slice that stay.
func (by discovered) keep(objects reflect.Value) reflect.Value {
	kept := reflect.MakeSlice(objects.Type(), 0, objects.Len())
	for i := range objects.Len() {
		o, ok := objects.Index(i).Interface().(metav1.Object)
		if ok && (o.GetNamespace() == "" || by[o.GetNamespace()]) {
			kept = reflect.Append(kept, objects.Index(i))
		}
	}
	return kept
}
