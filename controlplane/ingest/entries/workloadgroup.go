// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// checkGroup says what is wrong with a WorkloadGroup, and that nothing follows from
// it: proxies don't register themselves.
func checkGroup(o *networking.WorkloadGroup) []model.Problem {
	r := &report{of: originOf(kindWorkloadGroup, o)}
	r.add("spec", notSupported, "machines don't register themselves here, so no WorkloadEntry is made of it and nothing is probed; write a WorkloadEntry for each machine")
	template := o.Spec.GetTemplate()
	if template == nil {
		r.add("spec.template", invalid, "there is no template to make WorkloadEntries of; add it")
	}
	if template.GetAddress() != "" {
		r.add("spec.template.address", noEffect, "the address is the registering machine's own; remove it")
	}
	if len(template.GetLabels()) > 0 {
		r.add("spec.template.labels", noEffect, "labels of the machines belong into spec.metadata.labels; move them there")
	}
	for _, name := range slices.Sorted(maps.Keys(template.GetPorts())) {
		if port := template.GetPorts()[name]; port == 0 || port > 65535 {
			r.add("spec.template.ports["+name+"]", invalid, "%d is no port; use 1 to 65535", port)
		}
	}
	readLabels(r, "spec.metadata", o.Spec.GetMetadata().GetLabels())
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
