// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Resolve a host as a pod's resolver does: an address is itself, a service its
// first address, a headless one its first pod. An ExternalName that leads out
// of the mesh is 198.51.100.1, as any host is that is not known.
func Resolve(m *model.Mesh, namespace, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	outside := netip.MustParseAddr("198.51.100.1")
	suffix := ".svc." + m.Settings.DomainSuffix
	for _, full := range []string{host, host + "." + namespace + suffix, host + suffix, host + "." + m.Settings.DomainSuffix} {
		pod, service := "", full
		st, ok := lookup(m, service)
		if !ok {
			pod, service, _ = strings.Cut(full, ".")
			st, ok = lookup(m, service)
		}
		if !ok {
			continue
		}
		switch {
		case st.Service.Kind == model.ExternalName:
			return Resolve(m, namespace, st.Service.ExternalName)
		case pod == "" && len(st.Service.Addresses) > 0:
			return st.Service.Addresses[0], nil
		}
		for _, set := range st.Endpoints {
			for _, e := range set.Endpoints {
				if !e.Gateway && (pod == "" || e.Hostname == pod) {
					return netip.ParseAddr(e.Address)
				}
			}
		}
		return netip.Addr{}, fmt.Errorf("%s has no address", full)
	}
	return outside, nil
}

func lookup(m *model.Mesh, host string) (model.ServiceState, bool) {
	if st, ok := m.Service(model.Hostname(host)); ok {
		return st, true
	}
	for _, st := range m.Services {
		for _, a := range st.Service.Aliases {
			if string(a) == host {
				return st, true
			}
		}
	}
	return model.ServiceState{}, false
}
