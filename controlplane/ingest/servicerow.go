// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/entries"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// sources are the objects that bear on one namespace and name of a service.
type sources struct {
	service *corev1.Service
	// slices sorted by name.
	slices []*discoveryv1.EndpointSlice
	export *mcs.ServiceExport
	group  *group
}

func (s *sources) empty() bool {
	return s.service == nil && len(s.slices) == 0 && s.export == nil && s.group == nil
}

// serviceRow is what was made of the sources of one key.
type serviceRow struct {
	key
	sources
	// state has no Service when the sources give none.
	state    model.ServiceState
	targets  []target
	claims   []entries.Claim
	problems []model.Problem
}

// claim is a target of the row's Service in the words of package entries.
func (r *serviceRow) claim(t target) entries.Claim {
	return entries.Claim{
		Workload: t.pod, InboundPort: t.InboundPort, By: r.state.Service.Origin, Field: portField(r.service, t.ServicePort),
	}
}

// touches is true when a slice of the row refers to one of these pods, which
// are keys of the row's namespace.
func (r *serviceRow) touches(pods []key) bool {
	for _, s := range r.slices {
		for i := range s.Endpoints {
			if ref := s.Endpoints[i].TargetRef; ref != nil && ref.Kind == kindPod && among(pods, ref.Name) {
				return true
			}
		}
	}
	return false
}

// leansOn is true when an endpoint without a pod takes its locality from one
// of these nodes.
func (r *serviceRow) leansOn(nodes map[string]bool) bool {
	for _, s := range r.slices {
		for i := range s.Endpoints {
			if e := &s.Endpoints[i]; (e.TargetRef == nil || e.TargetRef.Kind != kindPod) && e.NodeName != nil && nodes[*e.NodeName] {
				return true
			}
		}
	}
	return false
}

// build makes the row of the sources. Prev is the key's last row, or nil.
func (at *surroundings) build(k key, in sources, prev *serviceRow) *serviceRow {
	row := &serviceRow{key: k, sources: in}
	if in.service != nil {
		row.problems = unusable(in.service)
	}
	var d *draft
	switch {
	case len(row.problems) > 0:
		return row
	case in.service != nil:
		d = draftLocal(in.service, at.settings.DomainSuffix, at.distribution[k.namespace])
		d.show(in.service, at.settings.ServiceExportTo)
		if d.service.Kind != model.ExternalName {
			d.addSlices(in.service, in.slices, at)
			d.addMachines(in.service, at)
		}
	case in.group != nil:
		d = draftImported(in.group, at.settings.DomainSuffix)
		d.service.Visible, _ = model.VisibilityOf(nil, k.namespace, at.settings.ServiceExportTo)
	default:
		row.problems = row.exportProblems()
		return row
	}
	if in.group != nil {
		d.mergeGroup(in.group, at)
	}
	d.decorate(at.decorations[k])
	row.targets, row.claims = d.targets, d.claims
	if d.service.Local || d.service.Imported {
		d.service.Exported = in.export != nil && d.service.Local && d.service.Kind != model.ExternalName
		if d.service.Exported {
			d.service.ExportedUnix = in.export.CreationTimestamp.Unix()
		}
		if d.service.Exported || d.service.Imported {
			d.service.Aliases = []model.Hostname{hostname(k, clusterSet)}
		}
		var last model.ServiceState
		if prev != nil {
			last = prev.state
		}
		row.state = d.state(last)
	}
	row.problems = append(d.problems, row.exportProblems()...)
	return row
}

// unusable says why a Service cannot be in the mesh at all. Only files hold
// such ones: the API server refuses them.
func unusable(o *corev1.Service) []model.Problem {
	k, target := keyOf(o), strings.TrimSuffix(strings.ToLower(o.Spec.ExternalName), ".")
	switch {
	case !isLabel(k.namespace) || !isLabel(k.name):
		return []model.Problem{problem(kindService, o, "metadata.name", Invalid, "%q is no namespace and name of a Service", k)}
	case o.Spec.Type == corev1.ServiceTypeExternalName && !isName(target):
		return []model.Problem{problem(kindService, o, "spec.externalName", Invalid,
			"%q is no DNS name to point at; set spec.externalName", o.Spec.ExternalName)}
	}
	return nil
}

// mergeGroup merges imports unless the Service is one that has no endpoints.
func (d *draft) mergeGroup(g *group, at *surroundings) {
	if d.service.Kind == model.ExternalName {
		d.problems = append(d.problems, problemOf(kindServiceImport, g.key, "", Conflict,
			"this member has an ExternalName Service of this name, which wins; rename it or give it another type"))
		return
	}
	d.merge(g, at.settings)
}

func (r *serviceRow) exportProblems() []model.Problem {
	if r.export == nil {
		return nil
	}
	var problems []model.Problem
	switch {
	case r.service == nil:
		problems = append(problems, problem(kindServiceExport, r.export, "metadata.name", NoService,
			"there is no Service %q in namespace %q; create it or remove the export", r.name, r.namespace))
	case r.service.Spec.Type == corev1.ServiceTypeExternalName:
		problems = append(problems, problem(kindServiceExport, r.export, "metadata.name", InvalidServiceType,
			"a Service of type ExternalName has no endpoints to export; remove the export or change the type"))
	}
	if len(r.export.Spec.ExportedLabels) > 0 {
		problems = append(problems, problem(kindServiceExport, r.export, "spec.exportedLabels", NotSupported,
			"labels are not carried to other members; remove the field"))
	}
	if len(r.export.Spec.ExportedAnnotations) > 0 {
		problems = append(problems, problem(kindServiceExport, r.export, "spec.exportedAnnotations", NotSupported,
			"annotations are not carried to other members; remove the field"))
	}
	return problems
}

// serviceRows sorted by key.
type serviceRows []*serviceRow

func (r serviceRows) find(k key) *serviceRow {
	i, ok := slices.BinarySearchFunc(r, k, func(row *serviceRow, k key) int { return row.key.compare(k) })
	if !ok {
		return nil
	}
	return r[i]
}

// in returns the rows of a namespace.
func (r serviceRows) in(namespace string) serviceRows {
	compare := func(row *serviceRow, ns string) int { return strings.Compare(row.namespace, ns) }
	i, _ := slices.BinarySearchFunc(r, namespace, compare)
	rest := r[i:]
	n := slices.IndexFunc(rest, func(row *serviceRow) bool { return row.namespace != namespace })
	if n < 0 {
		return rest
	}
	return rest[:n]
}
