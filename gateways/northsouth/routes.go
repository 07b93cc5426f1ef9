// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"fmt"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
)

// misdirectedRequest is the answer to requests for another listener's host.
const misdirectedRequest = 421

// fromOutside are headers that only proxies of the mesh may say. Envoy itself
// drops those of outsiders that would change what it does.
var fromOutside = []string{
	"x-envoy-decorator-operation",
	"x-envoy-downstream-service-cluster",
	"x-envoy-downstream-service-node",
	"x-envoy-original-host",
	"x-envoy-original-path",
	"x-envoy-peer-metadata",
	"x-envoy-peer-metadata-id",
}

// plainRoutes names the route configuration of plain HTTP on a port of an address,
// and listenerRoutes that of one listener that ends TLS, as Istio does.
func (b *bind) plainRoutes() string {
	name := "http." + strconv.Itoa(int(b.port))
	if b.address != "" {
		name += "." + b.address
	}
	return name
}

func listenerRoutes(a attached) string {
	return fmt.Sprintf("https.%d.%s.%s.%s", a.listener.Port, a.listener.Name, a.gateway.Name, a.gateway.Namespace)
}

// routes adds the route configuration of listeners that share it. With http3, clients are
// told that they may speak it.
func (t *translation) routes(name string, of, others []attached, http3 bool) {
	first := of[0]
	tls := first.speech() == speaksTLS
	config := &routev3.RouteConfiguration{
		Name:                           name,
		ValidateClusters:               wrapperspb.Bool(false),
		IgnorePortInHostMatching:       true,
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(routing.MaxBody),
		ResponseHeadersToRemove:        []string{envoy.UnreachedHeader},
	}
	// In the mesh, a peer that has shown its certificate is a proxy.
	if !tls || first.listener.TLS.Mode != model.MeshListenerTLS {
		config.RequestHeadersToRemove = fromOutside
	}
	if http3 {
		config.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "alt-svc", Value: fmt.Sprintf(`h3=":%d"; ma=86400`, first.listener.Port)},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}
	}
	for _, s := range t.sites(of, others) {
		config.VirtualHosts = append(config.VirtualHosts, t.virtualHost(s, first.listener.Port, tls))
	}
	config.VirtualHosts = envoy.Crowded(config.VirtualHosts)
	t.add(&t.out.Routes, first, name, config)
}

// virtualHost of a site. Without routes, requests for it get 404.
func (t *translation) virtualHost(s *site, port uint16, tls bool) *routev3.VirtualHost {
	v := &routev3.VirtualHost{
		Name:                       s.domain + ":" + strconv.Itoa(int(port)),
		Domains:                    []string{s.domain},
		IncludeRequestAttemptCount: true,
	}
	switch {
	case s.misdirected:
		v.Routes = []*routev3.Route{{
			Name: "misdirected", Match: envoy.EveryPath(),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: misdirectedRequest}},
		}}
		return v
	case s.redirect && !tls:
		v.RequireTls = routev3.VirtualHost_ALL
	}
	for of := s.of; len(of) > 0; {
		n := 1
		for n < len(of) && specificity(of[n].host) == specificity(of[0].host) {
			n++
		}
		routes, problems := routing.Together(t.placed(of[:n], tls))
		t.report(problems...)
		v.Routes = append(v.Routes, routes...)
		of = of[n:]
	}
	return v
}

// placed routings by the listeners that have them, in their order.
func (t *translation) placed(of []placement, tls bool) []routing.Placed {
	var out []routing.Placed
	for i, p := range of {
		if i == 0 || p.at != of[i-1].at {
			c := t.context(p.at)
			c.TLS = tls
			out = append(out, routing.Placed{Context: c})
		}
		last := &out[len(out)-1]
		last.Routings = append(last.Routings, p.routing)
	}
	return out
}
