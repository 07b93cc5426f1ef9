// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/charts"
	"github.com/isthmesh/isthmesh/controllers/admission"
	"github.com/isthmesh/isthmesh/controllers/definition"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// federated are the hub's objects among those that are validated. They are judged
// together, as the hub's webhook does with what a cluster holds.
type federated struct {
	worlds   map[string]*admission.World // by namespace
	problems []model.Problem
}

// definitions of the hub's kinds, as the chart installs them.
var definitions = sync.OnceValues(func() ([]*definition.Definition, error) {
	const folder = "hub/crds"
	files, err := fs.ReadDir(charts.FS, folder)
	if err != nil {
		return nil, err
	}
	var out []*definition.Definition
	for _, f := range files {
		data, err := fs.ReadFile(charts.FS, path.Join(folder, f.Name()))
		if err != nil {
			return nil, err
		}
		read, err := definition.Read(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		out = append(out, read...)
	}
	return out, nil
})

// add an object that may be one of the hub's; false when it isn't. Of what the API server
// would refuse nothing more is asked.
func (f *federated) add(ctx context.Context, u *unstructured.Unstructured) (bool, error) {
	gvk := u.GroupVersionKind()
	if gvk.Group != v1alpha1.GroupVersion.Group {
		return false, nil
	}
	all, err := definitions()
	if err != nil {
		return false, err
	}
	u.SetNamespace(cmp.Or(u.GetNamespace(), metav1.NamespaceDefault))
	tell := func(path, reason, message string) {
		f.problems = append(f.problems, model.Problem{Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName(), Field: path, Reason: reason, Message: message})
	}
	i := slices.IndexFunc(all, func(d *definition.Definition) bool { return d.Version == gvk.Version && d.Kind == gvk.Kind })
	if i < 0 {
		tell("apiVersion", ingest.Invalid, fmt.Sprintf("there is no kind %s in %s; correct kind or apiVersion", gvk.Kind, gvk.GroupVersion()))
		return true, nil
	}
	// Whole numbers of YAML become what they are for the API server.
	text, err := u.MarshalJSON()
	if err == nil {
		err = u.UnmarshalJSON(text)
	}
	if err != nil {
		return true, err
	}
	if wrong := validation.IsDNS1123Subdomain(u.GetName()); len(wrong) > 0 {
		tell("metadata.name", ingest.Invalid, wrong[0])
		return true, nil
	}
	errors, unknown := all[i].Judge(ctx, u.Object)
	for _, path := range unknown {
		tell(path, ingest.UnknownField, fmt.Sprintf("there is no such field in %s; correct its name, or remove it", gvk.Kind))
	}
	for _, e := range errors {
		tell(e.Field, ingest.Invalid, e.ErrorBody())
	}
	if len(errors) > 0 {
		return true, nil
	}
	if f.worlds == nil {
		f.worlds = map[string]*admission.World{}
	}
	w := f.worlds[u.GetNamespace()]
	if w == nil {
		w = &admission.World{}
		f.worlds[u.GetNamespace()] = w
	}
	if gvk.Kind == "MeshMember" {
		return true, decode(u, &w.Members, func(m v1alpha1.MeshMember) string { return m.Name })
	}
	return true, decode(u, &w.Federations, func(f v1alpha1.MeshFederation) string { return f.Name })
}

// decode an object that its definition takes into a list, where it takes the place of an
// earlier one of its name.
func decode[T any](u *unstructured.Unstructured, into *[]T, name func(T) string) error {
	var one T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &one); err != nil {
		return fmt.Errorf("%s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	*into = append(slices.DeleteFunc(*into, func(other T) bool { return name(other) == u.GetName() }), one)
	return nil
}

// judged are all problems of the hub's objects.
func (f *federated) judged() []model.Problem {
	out := f.problems
	for _, w := range f.worlds {
		for i := range w.Federations {
			o := &w.Federations[i]
			out = append(out, hubVerdicts("MeshFederation", o.Namespace, o.Name, admission.Federation(o, nil, *w))...)
		}
		for i := range w.Members {
			o := &w.Members[i]
			out = append(out, hubVerdicts("MeshMember", o.Namespace, o.Name, admission.Member(o, nil, "", *w))...)
		}
	}
	return out
}

// hubWarns is the code of what the hub's webhook warns of.
const hubWarns = "NoEffect"

func hubVerdicts(kind, namespace, name string, v admission.Verdict) []model.Problem {
	var out []model.Problem
	tell := func(reason string, texts []string) {
		for _, text := range texts {
			p := model.Problem{Kind: kind, Namespace: namespace, Name: name, Reason: reason, Message: text}
			if rest, ok := strings.CutPrefix(text, fmt.Sprintf("%s %s/%s: ", kind, namespace, name)); ok {
				p.Field, p.Message, _ = strings.Cut(rest, ": ")
			}
			out = append(out, p)
		}
	}
	tell(ingest.Invalid, v.Refused)
	tell(hubWarns, v.Warnings)
	return out
}
