// SPDX-License-Identifier: Apache-2.0

package serviceimport

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Label marks the ServiceImports that the control plane wrote; others are never touched.
const (
	Label      = "app.kubernetes.io/managed-by"
	LabelValue = "isthmesh"
)

// Mirror makes the ServiceImports that show the mesh's exported and imported
// services, sorted: namespace sameness, so one object stands for all members
// that export the service.
func Mirror(mesh *model.Mesh, imports *model.Imports) []*mcs.ServiceImport {
	clusters := map[[2]string][]mcs.ClusterStatus{}
	for _, m := range imports.Members {
		for _, s := range m.Services {
			k := [2]string{s.Namespace, s.Name}
			clusters[k] = append(clusters[k], mcs.ClusterStatus{Cluster: string(m.Cluster)})
		}
	}
	var out []*mcs.ServiceImport
	for _, s := range mesh.Services {
		if !s.Service.Imported && !s.Service.Exported || s.Service.Kind == model.ExternalName {
			continue
		}
		from := clusters[[2]string{s.Service.Namespace, s.Service.Name}]
		if s.Service.Exported {
			from = append(from, mcs.ClusterStatus{Cluster: string(mesh.Settings.Cluster)})
		}
		if len(from) > 0 {
			out = append(out, mirror(s.Service, from))
		}
	}
	slices.SortFunc(out, func(a, b *mcs.ServiceImport) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

func mirror(s *model.Service, from []mcs.ClusterStatus) *mcs.ServiceImport {
	out := &mcs.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, Labels: map[string]string{Label: LabelValue}},
		Spec:       mcs.ServiceImportSpec{Type: mcs.ClusterSetIP, Ports: []mcs.ServicePort{}},
		Status:     mcs.ServiceImportStatus{Clusters: from, EndpointSliceObjects: mcs.EndpointSliceObjectsAbsent},
	}
	slices.SortFunc(out.Status.Clusters, func(a, b mcs.ClusterStatus) int { return strings.Compare(a.Cluster, b.Cluster) })
	if s.Kind == model.Headless {
		out.Spec.Type = mcs.Headless
	} else {
		for _, a := range s.Addresses[:min(2, len(s.Addresses))] {
			out.Spec.IPs = append(out.Spec.IPs, a.String())
		}
	}
	for _, p := range s.Ports {
		port := mcs.ServicePort{Name: p.Name, Port: int32(p.Number), Protocol: corev1.ProtocolTCP}
		if app := appProtocol(p.Protocol); app != "" {
			port.AppProtocol = &app
		}
		out.Spec.Ports = append(out.Spec.Ports, port)
	}
	return out
}

func appProtocol(p model.Protocol) string {
	if p == model.Auto {
		return ""
	}
	return strings.ToLower(p.String())
}
