// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// takeovers are VirtualServices that decide where the calls of other namespaces
// to a Service go which is not their own namespace's. That is Istio's rule, and
// what isolates tenants is exportTo; so it holds, and is told.
func (x *Index) takeovers() []model.Problem {
	var out []model.Problem
	for _, r := range x.routings.at[model.Sidecars] {
		if r.BySpecificity || r.Namespace == x.mesh.Settings.RootNamespace || onlyOwn(r) {
			continue
		}
		for _, h := range r.Hosts {
			svc := x.foreign(h, r.Namespace)
			if svc == nil {
				continue
			}
			out = append(out, r.Problem("spec.hosts", "HostOfAnotherNamespace", fmt.Sprintf(
				"%s is a Service of namespace %s, and callers of all namespaces that see this object follow it to get there: "+
					"set exportTo to %q to route the calls of this namespace only, or move the object to %s",
				svc.Hostname, svc.Namespace, ".", svc.Namespace)))
			break // the other hosts are mended with it
		}
	}
	return out
}

// onlyOwn is true when no other namespace sees a routing.
func onlyOwn(r *model.Routing) bool {
	return r.Visible.Limited && !slices.ContainsFunc(r.Visible.Namespaces, func(n string) bool { return n != r.Namespace })
}

// foreign is a Service with a host, or the first under a wildcard, of another
// namespace than own; nil when there is none.
func (x *Index) foreign(host, own string) *model.Service {
	all := x.mesh.Services
	suffix, wild := strings.CutPrefix(host, "*")
	if !wild {
		i, _ := slices.BinarySearchFunc(all, host, func(st model.ServiceState, h string) int { return strings.Compare(string(st.Service.Hostname), h) })
		all = all[i:]
	}
	for _, st := range all {
		s := st.Service
		if !wild && string(s.Hostname) != host {
			return nil
		}
		if kubernetes := s.Origin.Kind == "" || s.Origin.Kind == "Service"; kubernetes && s.Namespace != own && strings.HasSuffix(string(s.Hostname), suffix) {
			return s
		}
	}
	return nil
}
