// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
	"github.com/isthmesh/isthmesh/controlplane/ingest/ingress"
	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/ingest/networking"
	"github.com/isthmesh/isthmesh/controlplane/ingest/ratelimit"
	"github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/ingest/telemetry"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// memo is the output of a part of ingest and the input that it was made of. The
// part runs again only when its input is another one.
type memo[In, Out any] struct {
	in  In
	out *Out
}

func (m memo[In, Out]) next(in In, build func(In, *Out) *Out) memo[In, Out] {
	if m.out != nil && keep.Same(m.in, in) {
		return m
	}
	return memo[In, Out]{in, build(in, m.out)}
}

// configuration is what says how services are called, and by whom.
type configuration struct {
	networking memo[networking.Input, networking.Output]
	gatewayapi memo[gatewayapi.Input, gatewayapi.Output]
	security   memo[security.Input, security.Output]
	ingress    memo[ingress.Input, ingress.Output]
	extensions memo[extensions.Input, extensions.Output]
	telemetry  memo[telemetry.Input, telemetry.Output]
	ratelimit  memo[ratelimit.Input, ratelimit.Output]
	// hostnames of all services, sorted.
	hostnames []model.Hostname
}

// readConfiguration runs the parts that make configuration, once services are known.
func (b *build) readConfiguration(services []model.ServiceState) {
	p, n := &b.prev.configuration, &b.next.configuration
	i, g := &b.next.custom.istio, &b.next.custom.gateway
	n.networking = p.networking.next(networking.Input{
		VirtualServices: i.VirtualServices, DestinationRules: i.DestinationRules, Gateways: i.Gateways,
		Sidecars: i.Sidecars, ProxyConfigs: i.ProxyConfigs, EnvoyFilters: i.EnvoyFilters,
		Settings: b.next.settings.Settings,
	}, networking.Build)
	n.hostnames = p.hostnames
	if !sameSlice(b.prev.Mesh.Services, services) {
		n.hostnames = keep.Slice(p.hostnames, hostnamesOf(services))
	}
	n.gatewayapi = p.gatewayapi.next(gatewayapi.Input{
		GatewayClasses: g.GatewayClasses, Gateways: g.Gateways, ListenerSets: g.ListenerSets,
		HTTPRoutes: g.HTTPRoutes, GRPCRoutes: g.GRPCRoutes, TLSRoutes: g.TLSRoutes, TCPRoutes: g.TCPRoutes, UDPRoutes: g.UDPRoutes,
		ReferenceGrants: g.ReferenceGrants, BackendTLSPolicies: g.BackendTLSPolicies,
		Namespaces: b.next.namespaces.rows, Services: b.next.services.rows, ServiceImports: b.next.custom.imports,
		ServiceEntries: i.ServiceEntries,
		Hostnames:      n.hostnames, Credentials: b.in.Credentials, Settings: b.next.settings.Settings,
	}, gatewayapi.Build)
	n.ingress = p.ingress.next(ingress.Input{
		Ingresses: b.next.custom.ingresses, Classes: b.next.custom.classes, Services: b.next.services.rows, Settings: b.next.settings.Settings,
	}, ingress.Build)
	n.security = p.security.next(security.Input{
		AuthorizationPolicies: i.AuthorizationPolicies, RequestAuthentications: i.RequestAuthentications,
		JWKS: b.in.JWKS, JWKSFailures: b.in.JWKSFailures, Settings: b.next.settings.Settings,
	}, security.Build)
	n.extensions = p.extensions.next(extensions.Input{
		WasmPlugins: i.WasmPlugins, Modules: b.in.Modules, Failures: b.in.ModuleFailures, Settings: b.next.settings.Settings,
	}, extensions.Build)
	n.telemetry = p.telemetry.next(telemetry.Input{Telemetries: i.Telemetries, Settings: b.next.settings.Settings}, telemetry.Build)
	n.ratelimit = p.ratelimit.next(ratelimit.Input{Policies: b.next.custom.limits, Settings: b.next.settings.Settings, Hostnames: n.hostnames}, ratelimit.Build)
	if p.ratelimit.out != n.ratelimit.out || p.networking.out != n.networking.out || p.gatewayapi.out != n.gatewayapi.out || p.ingress.out != n.ingress.out || p.security.out != n.security.out || p.extensions.out != n.extensions.out || p.telemetry.out != n.telemetry.out {
		b.problemsMoved = true
	}
}

// place puts the configuration into a mesh, sharing slices with the last one.
func (c *configuration) place(last, next *model.Mesh) {
	n, g, i := c.networking.out, c.gatewayapi.out, c.ingress.out
	next.Routings = together(last.Routings, n.Routings, g.Routings, i.Routings)
	next.Policies = together(last.Policies, n.Policies, g.Policies)
	next.Gateways = together(last.Gateways, n.Gateways, g.Gateways, i.Gateways)
	next.Scopes = n.Scopes
	next.Patches = n.Patches
	next.ProxyConfigs = n.Proxies
	next.Plugins = c.extensions.out.Plugins
	next.Telemetries = c.telemetry.out.Telemetries
	next.RateLimits = c.ratelimit.out.Limits
	next.Authorizations, next.Authentications = c.security.out.Authorizations, c.security.out.Authentications
}

func (c *configuration) problems() []model.Problem {
	return slices.Concat(c.networking.out.Problems, c.gatewayapi.out.Problems, c.ingress.out.Problems, c.security.out.Problems, c.extensions.out.Problems, c.telemetry.out.Problems, c.ratelimit.out.Problems)
}

// together merges lists that are sorted by age into one.
func together[T keep.Value](last []T, lists ...[]T) []T {
	lists = slices.DeleteFunc(lists, func(l []T) bool { return len(l) == 0 })
	switch len(lists) {
	case 0:
		return nil
	case 1:
		return lists[0]
	}
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, func(x, y T) int { return x.Object().Older(y.Object()) })
	return keep.Slice(last, all)
}

func hostnamesOf(services []model.ServiceState) []model.Hostname {
	names := make([]model.Hostname, len(services))
	for i, s := range services {
		names[i] = s.Service.Hostname
	}
	slices.SortFunc(names, cmp.Compare[model.Hostname])
	return slices.Compact(names)
}

// References are the Secrets and ConfigMaps that Gateway API objects lean on
// and may read: Input.Credentials should hold them.
func (r *Result) References() []model.CredentialRef { return r.configuration.gatewayapi.out.References }

// Statuses are what the statuses of Gateway API objects are to say.
func (r *Result) Statuses() *gatewayapi.Statuses { return r.configuration.gatewayapi.out.Statuses }

// Ingresses that the mesh serves, as "namespace/name", sorted: their statuses
// are to tell where.
func (r *Result) Ingresses() []string { return r.configuration.ingress.out.Served }

// WantedKeySets are what RequestAuthentications name by address: Input.JWKS
// should hold them.
func (r *Result) WantedKeySets() []security.Wanted { return r.configuration.security.out.Wanted }

// WantedModules are what WasmPlugins name by address: Input.Modules should hold them.
func (r *Result) WantedModules() []extensions.Wanted { return r.configuration.extensions.out.Wanted }
