// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingapi "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// port of an entry, and where it is written.
type port struct {
	model.Port
	field string
}

// protocols by the words of ServiceEntry ports. Databases are carried as TCP.
var protocols = map[string]model.Protocol{
	"": model.Auto, "HTTP": model.HTTP, "HTTP2": model.HTTP2, "GRPC": model.GRPC, "GRPC-WEB": model.GRPCWeb,
	"HTTPS": model.TLS, "TLS": model.TLS,
	"TCP": model.TCP, "MONGO": model.TCP, "MYSQL": model.TCP, "REDIS": model.TCP,
}

// readPorts returns what can be used, sorted by number.
func readPorts(r *report, given []*networkingapi.ServicePort) []port {
	var ports []port
	names := map[string]bool{}
	for i, p := range given {
		field := fmt.Sprintf("spec.ports[%d]", i)
		word := strings.ToUpper(p.GetProtocol())
		protocol, known := protocols[word]
		switch {
		case p.GetNumber() == 0 || p.GetNumber() > 65535:
			r.add(field+".number", invalid, "%d is no port; use 1 to 65535", p.GetNumber())
			continue
		case p.GetTargetPort() > 65535:
			r.add(field+".targetPort", invalid, "%d is no port; use 1 to 65535", p.GetTargetPort())
			continue
		case word == "UDP":
			r.add(field+".protocol", notSupported, "UDP is not taken over by proxies and goes out as it is; remove the port")
			continue
		case !known:
			r.add(field+".protocol", invalid, "%q is no protocol; use HTTP, HTTP2, GRPC, HTTPS, TLS, TCP, MONGO, MYSQL or REDIS", p.GetProtocol())
			continue
		case slices.ContainsFunc(ports, func(q port) bool { return uint32(q.Number) == p.GetNumber() }):
			r.add(field+".number", conflict, "port %d is there before and holds; remove one of them", p.GetNumber())
			continue
		case p.GetName() == "":
			r.add(field+".name", invalid, "the port has no name, so endpoints can't name it; add one")
		case names[p.GetName()]:
			r.add(field+".name", conflict, "another port is called %q too; endpoints that name it mean both", p.GetName())
		}
		if name := strings.ToLower(p.GetName()); name != "" && !isLabel(name) {
			r.add(field+".name", invalid, "%.100q is no name of a port; use up to 63 letters, digits, and hyphens between them", p.GetName())
		}
		names[p.GetName()] = true
		ports = append(ports, port{model.Port{
			Name: p.GetName(), Number: uint16(p.GetNumber()), Protocol: protocol, Target: uint16(p.GetTargetPort()),
		}, field})
	}
	slices.SortFunc(ports, func(a, b port) int { return cmp.Compare(a.Number, b.Number) })
	return ports
}
