// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"fmt"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// localHosts are the services of serviceSettings, in the order in which they are
// written. A service is exported by a ServiceExport only, so none is local by itself.
func localHosts(settings []*meshapi.MeshConfig_ServiceSettings, report reporter) model.LocalHosts {
	var out model.LocalHosts
	for i, s := range settings {
		if len(s.GetHosts()) == 0 {
			report(fmt.Sprintf("serviceSettings[%d].hosts", i), NoEffect, "it names no host, so this is about none; add hosts, such as \"*.shop.svc.cluster.local\"")
		}
		for j, h := range s.GetHosts() {
			h = strings.ToLower(strings.TrimSuffix(h, "."))
			if name := strings.TrimPrefix(h, "*."); h != "*" && (!isName(name) || !strings.Contains(name, ".")) {
				report(fmt.Sprintf("serviceSettings[%d].hosts[%d]", i, j), Invalid, "%q is no full name of services; write such as reviews.shop.svc.cluster.local, *.shop.svc.cluster.local or *", h)
				continue
			}
			out = append(out, model.LocalHost{Host: h, Local: s.GetSettings().GetClusterLocal()})
		}
	}
	return out
}
