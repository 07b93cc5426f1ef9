// SPDX-License-Identifier: Apache-2.0

// Package analyze finds what objects of a mesh say about each other and is not
// so: a host, a subset, a port, a gateway that is not there, and two that want
// the same. It stands beside the flow and is pure: a mesh goes in, Problems
// come out. What one object says by itself is in the mesh's own Problems.
package analyze

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// Reasons of the Problems that are found here.
const (
	// HostNotFound: no service has the name, or none that the object's namespace sees.
	HostNotFound = "HostNotFound"
	// PortNotFound: the service has no such port, or it has several and none is named.
	PortNotFound = "PortNotFound"
	// SubsetNotFound: no DestinationRule defines it.
	SubsetNotFound = "SubsetNotFound"
	// GatewayNotFound: no Gateway has the name.
	GatewayNotFound = "GatewayNotFound"
	// HostNotServed: the gateway's servers don't take the host.
	HostNotServed = "HostNotServed"
	// SelectsNothing: no workload has the labels.
	SelectsNothing = "SelectsNothing"
	// WrongProtocol: the port speaks another protocol than who calls it.
	WrongProtocol = "WrongProtocol"
	// TokenNotRead: a policy asks for a token that nothing verifies.
	TokenNotRead = "TokenNotRead"
)

// Mesh is what objects say about each other and is not so, sorted.
func Mesh(m *model.Mesh) []model.Problem {
	a := &analysis{mesh: m, services: map[string][]model.ServiceState{}, gateways: map[model.GatewayRef]*model.Gateway{}}
	for _, s := range m.Services {
		a.services[string(s.Service.Hostname)] = append(a.services[string(s.Service.Hostname)], s)
		for _, alias := range s.Service.Aliases {
			a.services[string(alias)] = append(a.services[string(alias)], s)
		}
		if strings.HasPrefix(string(s.Service.Hostname), "*") {
			a.wildcards = append(a.wildcards, s)
		}
	}
	for _, g := range m.Gateways {
		a.gateways[g.Ref()] = g
	}
	a.routings()
	if m.Settings != nil {
		// Who wins is decided where it is followed.
		a.problems = append(a.problems, scope.Build(m, nil).Problems()...)
	}
	a.policies()
	a.selectors()
	a.guards()
	a.limits()
	slices.SortFunc(a.problems, func(x, y model.Problem) int {
		return cmp.Or(strings.Compare(x.Kind, y.Kind), strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name),
			strings.Compare(x.Field, y.Field), strings.Compare(x.Reason, y.Reason), strings.Compare(x.Message, y.Message))
	})
	return slices.Compact(a.problems)
}

type analysis struct {
	mesh *model.Mesh
	// services by hostname and alias; wildcards are those of names with "*".
	services  map[string][]model.ServiceState
	wildcards []model.ServiceState
	gateways  map[model.GatewayRef]*model.Gateway
	problems  []model.Problem
}

func (a *analysis) tell(o model.Origin, field, reason, format string, args ...any) {
	a.problems = append(a.problems, o.Problem(field, reason, fmt.Sprintf(format, args...)))
}

// find a service by its name; what is hidden from the namespace comes with false.
func (a *analysis) find(host, namespace string) (s model.ServiceState, visible, ok bool) {
	candidates := a.services[host]
	if len(candidates) == 0 {
		for _, w := range a.wildcards {
			if covers(string(w.Service.Hostname), host) {
				candidates = append(candidates, w)
			}
		}
	}
	for _, s := range candidates {
		if s.Service.Visible.In(namespace) {
			return s, true, true
		}
	}
	if len(candidates) > 0 {
		return candidates[0], false, true
	}
	return model.ServiceState{}, false, false
}

// covers is true when a name or wildcard takes in another one.
func covers(pattern, host string) bool {
	suffix, wild := strings.CutPrefix(pattern, "*")
	return pattern == host || wild && len(host) > len(suffix) && strings.HasSuffix(host, suffix)
}

// similar names a service that may have been meant; empty when none is near.
func (a *analysis) similar(host string) string {
	short, _, _ := strings.Cut(host, ".")
	for _, s := range a.mesh.Services {
		if name := string(s.Service.Hostname); name != host && (strings.HasPrefix(name, short+".") || near(name, host)) {
			return fmt.Sprintf("; did you mean %q?", name)
		}
	}
	return ""
}

// near is true for names of which one letter is another, missing or too much.
func near(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i < len(a) && a[i+1:] == b[i+1:]
	}
	return a[i:] == b[i+1:]
}
