// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"net/netip"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Domains are the hosts by which a caller in a namespace names a service: every
// form that the resolver's search list makes equal, and the addresses. The bare
// name means the service of the caller's own namespace only. others are the
// ExternalName services that point at it.
func Domains(s *model.Settings, svc *model.Service, others []*model.Service, namespace string) []string {
	out := names(s, svc, namespace)
	for _, a := range svc.Aliases {
		out = append(out, string(a))
	}
	for _, a := range svc.Addresses {
		out = append(out, literal(a))
	}
	for _, o := range others {
		out = append(out, names(s, o, namespace)...)
	}
	return out
}

func names(s *model.Settings, svc *model.Service, namespace string) []string {
	host := string(svc.Hostname)
	out := []string{host, host + "."}
	if !HasBareName(s, svc) {
		return out
	}
	short := svc.Name + "." + svc.Namespace
	out = append(out, short, short+".svc")
	if svc.Namespace == namespace {
		out = append(out, svc.Name)
	}
	return out
}

// HasBareName is true for a service that callers of its own namespace name
// without any namespace.
func HasBareName(s *model.Settings, svc *model.Service) bool {
	return string(svc.Hostname) == svc.Name+"."+svc.Namespace+".svc."+s.DomainSuffix
}

// PodDomains are the hosts by which a caller in a namespace names one pod of a
// headless service.
func PodDomains(s *model.Settings, svc *model.Service, hostname, namespace string) []string {
	out := names(s, svc, namespace)
	for _, a := range svc.Aliases {
		out = append(out, string(a))
	}
	for i, d := range out {
		out[i] = hostname + "." + d
	}
	return out
}

func literal(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
