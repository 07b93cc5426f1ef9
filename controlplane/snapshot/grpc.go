// SPDX-License-Identifier: Apache-2.0

package snapshot

import "github.com/isthmesh/isthmesh/controlplane/model"

// grpcPort is a port of a service.
type grpcPort struct {
	host model.Hostname
	port uint16
}

// grpcPorts are the ports that GRPCRoutes send to: HTTP/2 is spoken to them even
// when nothing about the port says so.
func grpcPorts(routings []*model.Routing) map[grpcPort]bool {
	var out map[grpcPort]bool
	for _, r := range routings {
		if r.Kind != "GRPCRoute" {
			continue
		}
		for _, rule := range r.HTTP {
			for _, d := range rule.Destinations {
				if out == nil {
					out = map[grpcPort]bool{}
				}
				out[grpcPort{d.Host, d.Port}] = true
			}
		}
	}
	return out
}
