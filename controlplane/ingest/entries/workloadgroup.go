// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// checkGroup says what is wrong with a WorkloadGroup. Its machines are in the mesh
// by their WorkloadEntries, which package registration makes of it.
func checkGroup(o *networking.WorkloadGroup) []model.Problem {
	r := &report{of: originOf(kindWorkloadGroup, o)}
	template := o.Spec.GetTemplate()
	if template == nil {
		r.add("spec.template", invalid, "there is no template to make WorkloadEntries of, so no machine is registered; add it")
	}
	if template.GetAddress() != "" {
		r.add("spec.template.address", noEffect, "the address is the registering machine's own; remove it")
	}
	if account := template.GetServiceAccount(); account != "" && !isName(account) {
		r.add("spec.template.serviceAccount", invalid, "%q is no service account's name, so no machine can have it; correct it", account)
	}
	if weight := template.GetWeight(); weight > heaviest {
		r.add("spec.template.weight", noEffect, "%d is taken as %d, which is the most; give smaller weights in the same proportion", weight, heaviest)
	}
	readLabels(r, "spec.template", template.GetLabels())
	for _, name := range slices.Sorted(maps.Keys(template.GetPorts())) {
		if port := template.GetPorts()[name]; port == 0 || port > 65535 {
			r.add("spec.template.ports["+name+"]", invalid, "%d is no port; use 1 to 65535", port)
		}
	}
	readLabels(r, "spec.metadata", o.Spec.GetMetadata().GetLabels())
	for _, name := range slices.Sorted(maps.Keys(o.Spec.GetMetadata().GetAnnotations())) {
		field := "spec.metadata.annotations[" + name + "]"
		switch {
		case registration.Reserved(name):
			r.add(field, noEffect, "it is the control plane's to set on WorkloadEntries; remove it")
		case len(validation.IsQualifiedName(strings.ToLower(name))) > 0:
			r.add(field, noEffect, "%.150q is no name of an annotation, WorkloadEntries don't get it; use letters, digits, and - _ . between them, 63 at most", name)
		}
	}
	checkProbe(r, o.Spec.GetProbe())
	return r.problems
}

func checkProbe(r *report, p *networkingapi.ReadinessProbe) {
	if p == nil {
		return
	}
	port := func(field string, n uint32) {
		if n == 0 || n > 65535 {
			r.add(field, invalid, "%d is no port; use 1 to 65535", n)
		}
	}
	switch m := p.GetHealthCheckMethod().(type) {
	case *networkingapi.ReadinessProbe_HttpGet:
		port("spec.probe.httpGet.port", m.HttpGet.GetPort())
		if s := m.HttpGet.GetScheme(); s != "" && s != "HTTP" && s != "HTTPS" {
			r.add("spec.probe.httpGet.scheme", invalid, "%q is no scheme; use HTTP or HTTPS", s)
		}
		for i, h := range m.HttpGet.GetHttpHeaders() {
			if name := strings.ToLower(h.GetName()); name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				r.add(fmt.Sprintf("spec.probe.httpGet.httpHeaders[%d].name", i), invalid, "%.100q is no name of a header; use letters, digits and hyphens", h.GetName())
			}
		}
	case *networkingapi.ReadinessProbe_TcpSocket:
		port("spec.probe.tcpSocket.port", m.TcpSocket.GetPort())
	case *networkingapi.ReadinessProbe_Grpc:
		port("spec.probe.grpc.port", m.Grpc.GetPort())
	case *networkingapi.ReadinessProbe_Exec:
		if len(m.Exec.GetCommand()) == 0 {
			r.add("spec.probe.exec.command", invalid, "there is no command to run; add it")
		}
	default:
		r.add("spec.probe", invalid, "it doesn't say how to check; add httpGet, tcpSocket, exec or grpc")
	}
	atLeastNone := func(field string, n int32) {
		if n < 0 {
			r.add("spec.probe."+field, invalid, "%d is below zero; use 0 or more", n)
		}
	}
	atLeastNone("initialDelaySeconds", p.GetInitialDelaySeconds())
	atLeastNone("timeoutSeconds", p.GetTimeoutSeconds())
	atLeastNone("periodSeconds", p.GetPeriodSeconds())
	atLeastNone("successThreshold", p.GetSuccessThreshold())
	atLeastNone("failureThreshold", p.GetFailureThreshold())
}
