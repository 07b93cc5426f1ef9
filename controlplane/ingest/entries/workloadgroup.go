// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"maps"
	"slices"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// checkGroup says what is wrong with a WorkloadGroup. Nothing follows from one
// until a proxy registers itself by it.
func checkGroup(o *networking.WorkloadGroup) []model.Problem {
	r := &report{of: originOf(kindWorkloadGroup, o)}
	template := o.Spec.GetTemplate()
	if template == nil {
		r.add("spec.template", invalid, "there is no template to make WorkloadEntries of; add it")
	}
	if template.GetAddress() != "" {
		r.add("spec.template.address", invalid, "the address is the registering machine's own; remove it")
	}
	if len(template.GetLabels()) > 0 {
		r.add("spec.template.labels", invalid, "labels of the machines belong into spec.metadata.labels; move them there")
	}
	for _, name := range slices.Sorted(maps.Keys(template.GetPorts())) {
		if port := template.GetPorts()[name]; port == 0 || port > 65535 {
			r.add("spec.template.ports["+name+"]", invalid, "%d is no port; use 1 to 65535", port)
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
