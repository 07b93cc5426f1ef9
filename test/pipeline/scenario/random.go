// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"slices"

	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Random meshes: up to a dozen services of every kind and protocol, in few
// namespaces, on few ports and addresses, so that they get into each other's way.
func Random() *rapid.Generator[*model.Mesh] {
	return rapid.Custom(func(t *rapid.T) *model.Mesh {
		b := &builder{mesh: &model.Mesh{Settings: &model.Settings{
			MeshID: "mesh", Cluster: "here", Network: "n1", TrustDomain: "here.example", RootNamespace: "istio-system",
			DomainSuffix: "cluster.local", AutoMTLS: rapid.Bool().Draw(t, "auto mTLS"), ConnectTimeoutMillis: 1000,
			OutboundRegistryOnly: rapid.Bool().Draw(t, "registry only"),
			AccessLogPath:        rapid.SampledFrom([]string{"", "/dev/null"}).Draw(t, "log"),
		}}}
		seen := map[string]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "services") {
			svc := b.randomService(t)
			if key := svc.Namespace + "/" + svc.Name; !seen[key] {
				seen[key] = true
				b.randomEndpoints(t, svc)
			}
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "workloads") {
			b.mesh.Workloads = append(b.mesh.Workloads, b.randomWorkload(t, i))
		}
		b.sort()
		return b.mesh
	})
}

var (
	namespaces = rapid.SampledFrom([]string{"shop", "bank", "default"})
	ports      = rapid.SampledFrom([]uint16{80, 443, 8080, 9090, 15001, 15006, 15021, 15443})
	protocols  = rapid.SampledFrom([]model.Protocol{model.Auto, model.HTTP, model.HTTP2, model.GRPC, model.TCP, model.TLS, model.GRPCWeb})
	modes      = rapid.SampledFrom([]model.MTLSMode{model.Permissive, model.Strict, model.Disable})
	places     = rapid.SampledFrom([]model.Locality{{}, {Region: "eu"}, {Region: "eu", Zone: "eu-1"}, {Region: "us", Zone: "us-1", SubZone: "a"}})
)

func (b *builder) randomService(t *rapid.T) *model.Service {
	svc := &model.Service{
		Namespace: namespaces.Draw(t, "namespace"), Name: rapid.SampledFrom([]string{"a", "b", "c", "shop", "svc"}).Draw(t, "name"),
		Kind:        rapid.SampledFrom([]model.ServiceKind{model.ClusterIP, model.ClusterIP, model.Headless, model.ExternalName}).Draw(t, "kind"),
		Exported:    rapid.Bool().Draw(t, "exported"),
		Imported:    rapid.Bool().Draw(t, "imported"),
		Local:       rapid.Bool().Draw(t, "local"),
		PreferClose: rapid.Bool().Draw(t, "prefer close"),
	}
	svc.Hostname = b.hostname(svc.Namespace + "/" + svc.Name)
	if svc.Exported || svc.Imported {
		svc.Aliases = []model.Hostname{model.Hostname(svc.Name + "." + svc.Namespace + ".svc.clusterset.local")}
	}
	switch svc.Kind {
	case model.ExternalName:
		svc.ExternalName = rapid.SampledFrom([]string{
			"localhost", "a.shop.svc.cluster.local", "b.bank.svc.cluster.local", "c.default.svc.clusterset.local", "A.SHOP.svc.cluster.local.",
		}).Draw(t, "external name")
	case model.ClusterIP:
		for range rapid.IntRange(0, 2).Draw(t, "addresses") {
			n := byte(rapid.IntRange(1, 9).Draw(t, "address"))
			if rapid.Bool().Draw(t, "IPv6") {
				svc.Addresses = append(svc.Addresses, netip.AddrFrom16([16]byte{0: 0xfd, 15: n}))
			} else {
				svc.Addresses = append(svc.Addresses, netip.AddrFrom4([4]byte{10, 96, 0, n}))
			}
		}
		svc.Addresses = slices.CompactFunc(svc.Addresses, func(x, y netip.Addr) bool { return x == y })
	}
	for range rapid.IntRange(0, 3).Draw(t, "ports") {
		p := model.Port{Number: ports.Draw(t, "port"), Protocol: protocols.Draw(t, "protocol")}
		if !slices.ContainsFunc(svc.Ports, func(q model.Port) bool { return q.Number == p.Number }) {
			svc.Ports = append(svc.Ports, p)
		}
	}
	slices.SortFunc(svc.Ports, func(x, y model.Port) int { return int(x.Number) - int(y.Number) })
	for i := range rapid.IntRange(0, 2).Draw(t, "identities") {
		svc.Identities = append(svc.Identities, b.identity(fmt.Sprintf("%s/%s%d", svc.Namespace, svc.Name, i)))
	}
	return svc
}

func (b *builder) randomEndpoints(t *rapid.T, svc *model.Service) {
	state := model.ServiceState{Service: svc}
	for range svc.Ports {
		set := &model.EndpointSet{}
		seen := map[string]bool{}
		for range rapid.IntRange(0, 4).Draw(t, "endpoints") {
			e := b.randomEndpoint(t)
			if !seen[e.Address] {
				seen[e.Address] = true
				set.Endpoints = append(set.Endpoints, e)
				if e.Cluster != "here" && rapid.Bool().Draw(t, "in a subset") {
					randomBeyond(t, set, e)
				}
			}
		}
		state.Endpoints = append(state.Endpoints, set)
	}
	b.mesh.Services = append(b.mesh.Services, state)
}

// randomBeyond puts an endpoint of another member into a subset that the member serves.
func randomBeyond(t *rapid.T, set *model.EndpointSet, e model.Endpoint) {
	b := model.BeyondSubset{Name: subsets.Draw(t, "subset"), Labels: labels.Draw(t, "labels"), Members: []model.ClusterID{e.Cluster}}
	if slices.ContainsFunc(set.Beyond, func(o model.BeyondSubset) bool { return o.Name == b.Name && o.Labels == b.Labels }) {
		return
	}
	if e.Gateway && rapid.Bool().Draw(t, "somebody") {
		b.Endpoints = []model.Endpoint{e}
	}
	set.Beyond = append(set.Beyond, b)
}

func (b *builder) randomEndpoint(t *rapid.T) model.Endpoint {
	e := model.Endpoint{
		Address: fmt.Sprintf("10.244.0.%d", rapid.IntRange(100, 120).Draw(t, "endpoint")), Port: ports.Draw(t, "target port"),
		Weight: rapid.Uint32Range(0, 1000).Draw(t, "weight"), MTLS: rapid.Bool().Draw(t, "mTLS"),
		Locality: places.Draw(t, "place"), Network: "n1", Cluster: "here", Draining: rapid.Bool().Draw(t, "draining"),
		Hostname: rapid.SampledFrom([]string{"", "a-0", "a", "*", "a.b"}).Draw(t, "hostname"),
	}
	switch rapid.IntRange(0, 5).Draw(t, "where") {
	case 0:
		e.Cluster, e.Network, e.Gateway, e.Port = "there", "n2", true, 15443
	case 1:
		e.Cluster, e.Network, e.Gateway, e.Port, e.Address = "there", "n2", true, 15443, "localhost"
	case 2:
		e.Cluster = "flat"
	}
	if e.Gateway {
		e.Hostname, e.Draining = "", false
	}
	return e
}

func (b *builder) randomWorkload(t *rapid.T, i int) *model.Workload {
	w := &model.Workload{
		Namespace: namespaces.Draw(t, "namespace"), Name: fmt.Sprintf("pod-%d", i), Meshed: true, ServiceAccount: "default",
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 244, 0, byte(i + 1)})},
		Locality:  places.Draw(t, "place"), MTLS: modes.Draw(t, "mode"),
	}
	if rapid.Bool().Draw(t, "IPv6") {
		w.Addresses = append(w.Addresses, netip.AddrFrom16([16]byte{0: 0xfd, 14: 1, 15: byte(i)}))
	}
	for _, p := range rapid.SliceOfNDistinct(ports, 0, 3, rapid.ID[uint16]).Draw(t, "inbound") {
		w.Inbound = append(w.Inbound, model.InboundPort{Port: p, Protocol: protocols.Draw(t, "protocol")})
	}
	for _, p := range rapid.SliceOfNDistinct(ports, 0, 2, rapid.ID[uint16]).Draw(t, "modes") {
		w.PortMTLS = append(w.PortMTLS, model.PortMTLS{Port: p, Mode: modes.Draw(t, "mode")})
	}
	slices.SortFunc(w.Inbound, func(x, y model.InboundPort) int { return int(x.Port) - int(y.Port) })
	slices.SortFunc(w.PortMTLS, func(x, y model.PortMTLS) int { return int(x.Port) - int(y.Port) })
	return w
}
