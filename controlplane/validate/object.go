// SPDX-License-Identifier: Apache-2.0

// Package validate tells who writes an object of the Istio API what the mesh
// will make of it, before it is stored: an object that can't be used is
// refused, and what is not honoured yet is a warning, so that nothing is
// ignored in silence. It stands before the flow and asks ingest itself, so
// that both always say the same.
package validate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/patch"
	_ "github.com/isthmesh/isthmesh/controlplane/patch/extensions" // the types that patches may hold
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// maxObject is more than the API server stores of one object.
const maxObject = 4 << 20

// Verdict on an object. It is refused when Refused isn't empty.
type Verdict struct {
	// Refused are the reasons not to store the object, each with its field and mend.
	Refused []string
	// Warnings go to the user who stores it.
	Warnings []string
	// Problems are both, for machines.
	Problems []model.Problem
	// Foreign is true for an object of a kind that no mesh reads, which isn't judged.
	Foreign bool
}

// apis are the groups whose kinds are for a mesh to act on.
var apis = []string{
	"networking.istio.io", "security.istio.io", "extensions.istio.io", "telemetry.istio.io", "install.istio.io",
	"gateway.networking.k8s.io", "gateway.networking.x-k8s.io", "multicluster.x-k8s.io", "policy.isthmesh.dev",
}

// Object judges an object of a group and kind as JSON, in a mesh of these
// settings. It takes bounded time and memory for any input. What depends on
// other objects is not asked: they may be stored later.
func Object(group, kind string, object []byte, settings model.Settings) Verdict {
	refuse := func(format string, args ...any) Verdict {
		return verdict([]model.Problem{{Kind: kind, Reason: ingest.Invalid, Message: fmt.Sprintf(format, args...)}})
	}
	switch {
	case len(object) > maxObject:
		return refuse("%s can't be read: it has %d bytes, at most %d are possible; make it smaller", kind, len(object), maxObject)
	case fields.TooDeep(object):
		return refuse("%s can't be read: it is nested deeper than %d levels; make it flatter", kind, fields.MaxDepth)
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(object, &u.Object); err != nil || u.Object == nil {
		return refuse("%s can't be read: it is no JSON object (%v); correct it", kind, err)
	}
	complete(u, group, kind)
	return Unstructured(u, settings)
}

// complete fills what admission knows from elsewhere: the kind, and the name of
// an object that is given one later.
func complete(u *unstructured.Unstructured, group, kind string) {
	if u.GetKind() == "" {
		u.SetKind(kind)
	}
	if u.GetAPIVersion() == "" {
		u.SetAPIVersion(strings.TrimPrefix(group+"/"+manifest.Version(group, kind), "/"))
	}
	if u.GetName() == "" {
		u.SetName("unnamed")
	}
}

// Unstructured judges an object, which may be changed.
func Unstructured(u *unstructured.Unstructured, settings model.Settings) Verdict {
	kind, group := u.GetKind(), u.GroupVersionKind().Group
	about := model.Problem{Kind: kind, Namespace: u.GetNamespace(), Name: u.GetName()}
	if problems := manifest.Misfits(u); len(problems) > 0 {
		return verdict(problems)
	}
	objects, err := manifest.ReadObject(u)
	if err != nil {
		about.Reason, about.Message = ingest.Invalid, fmt.Sprintf("%s can't be read: %s; correct it", kind, short(err))
		return verdict([]model.Problem{about})
	}
	if len(objects.Skipped) > 0 {
		if !slices.Contains(apis, group) {
			return Verdict{Foreign: true}
		}
		about.Reason = ingest.NotSupported
		about.Message = fmt.Sprintf("%s.%s is stored, and has no effect: this version of the mesh doesn't act on objects of this kind", kind, group)
		return verdict([]model.Problem{about})
	}
	objects.Settings = settings
	var problems []model.Problem
	mesh := ingest.Build(objects.Input, nil).Mesh
	all := mesh.Problems
	if kind == "Gateway" {
		// Its own listeners may take ports and hosts from each other.
		all = slices.Concat(all, snapshot.Build(mesh, nil).Problems())
	}
	if kind == "EnvoyFilter" {
		all = slices.Concat(all, Unreadable(mesh.Patches))
	}
	for _, p := range all {
		if p.Kind == kind && p.Name == u.GetName() && !depends[p.Reason] {
			problems = append(problems, p)
		}
	}
	return verdict(problems)
}

// maxPatches that are told as unreadable; whoever has more mends the first ones first.
const maxPatches = 40

// Unreadable are the Problems of patches whose values Envoy's types don't have.
func Unreadable(patches []*model.Patch) []model.Problem {
	var problems []model.Problem
	for _, p := range patches {
		if _, problem := patch.Read(p); problem != nil && len(problems) < maxPatches {
			problems = append(problems, *problem)
		}
	}
	return problems
}

// depends are the reasons that objects which are stored later may take away.
var depends = map[string]bool{
	"NotFound": true, "TargetNotFound": true, "BackendNotFound": true, "NoMatchingParent": true, "UnknownDestination": true, ingest.NoService: true,
}

// refusals are the reasons for which an object is not stored; the others warn.
var refusals = []string{ingest.Invalid, ingest.UnknownField, ingest.Rejected, ingest.InvalidServiceType}

// Refuses is true for a problem for which its object is not to be stored.
func Refuses(p model.Problem) bool { return slices.Contains(refusals, p.Reason) }

func verdict(problems []model.Problem) Verdict {
	v := Verdict{Problems: problems}
	for _, p := range problems {
		text := p.Message
		if p.Field != "" {
			text = p.Field + ": " + text
		}
		if Refuses(p) {
			v.Refused = append(v.Refused, text)
		} else {
			v.Warnings = append(v.Warnings, text)
		}
	}
	slices.Sort(v.Refused)
	slices.Sort(v.Warnings)
	return v
}

// short is an error on one line; protobuf varies the space in it by build.
func short(err error) string {
	text, _, _ := strings.Cut(strings.ReplaceAll(err.Error(), "\u00a0", " "), "\n")
	if len(text) > 500 {
		text = fmt.Sprintf("%.500s…", text)
	}
	return text
}
