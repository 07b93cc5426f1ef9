// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Fronted meshes: configured ones with gateways of both APIs, whose listeners get
// into each other's way, and routings on them. Credentials are "front" in
// namespace edge, which has a CA too, and others that are not there.
func Fronted() *rapid.Generator[*model.Mesh] {
	return rapid.Custom(func(t *rapid.T) *model.Mesh {
		m := Configured().Draw(t, "mesh")
		for i := range rapid.IntRange(1, 3).Draw(t, "gateways") {
			m.Gateways = append(m.Gateways, randomGateway(t, i))
		}
		slices.SortFunc(m.Gateways, func(x, y *model.Gateway) int { return x.Older(y.Origin) })
		for i := range rapid.IntRange(1, 5).Draw(t, "routings") {
			r := RandomRouting(t, m, 100+i)
			g := m.Gateways[rapid.IntRange(0, len(m.Gateways)-1).Draw(t, "gateway")]
			at := g.Ref()
			if rapid.Bool().Draw(t, "one listener") {
				at.Listener = g.Listeners[0].Name
			}
			r.Gateways = []model.GatewayRef{at}
			r.Hosts = []string{publicHosts.Draw(t, "public")}
			if len(r.TLS) > 0 {
				r.TLS[0].Matches[0].ServerNames = slices.Clone(r.Hosts)
			}
			m.Routings = append(m.Routings, r)
		}
		SortConfiguration(m)
		return m
	})
}

var publicHosts = rapid.SampledFrom([]string{"*", "a.example", "b.example", "*.example", "x.a.example", "*.a.example"})

func randomGateway(t *rapid.T, i int) *model.Gateway {
	g := &model.Gateway{Origin: origin(t, "Gateway", i), Selector: "istio=ingress", API: rapid.Bool().Draw(t, "API")}
	for j := range rapid.IntRange(1, 5).Draw(t, "listeners") {
		l := model.Listener{
			Name: fmt.Sprintf("l%d", j), Port: rapid.SampledFrom([]uint16{8080, 8443, 9000}).Draw(t, "port"),
			Protocol:      rapid.SampledFrom([]model.ListenerProtocol{model.ListenHTTP, model.ListenHTTPS, model.ListenHTTPS, model.ListenTLS, model.ListenTCP}).Draw(t, "protocol"),
			RedirectHTTPS: rapid.IntRange(0, 4).Draw(t, "redirect") == 0,
			HTTP3:         rapid.IntRange(0, 4).Draw(t, "HTTP/3") == 0,
			Bind:          rapid.SampledFrom([]string{"", "", "", "127.0.0.1"}).Draw(t, "bind"),
		}
		for _, h := range rapid.SliceOfNDistinct(publicHosts, 1, 3, rapid.ID[string]).Draw(t, "hosts") {
			l.Hosts = append(l.Hosts, model.ListenerHost{Host: h, Namespace: rapid.SampledFrom([]string{"", "", "shop"}).Draw(t, "of")})
		}
		if l.Protocol == model.ListenHTTPS || l.Protocol == model.ListenTLS {
			l.TLS = randomServerTLS(t, l.Protocol)
		}
		g.Listeners = append(g.Listeners, l)
	}
	return g
}

func randomServerTLS(t *rapid.T, p model.ListenerProtocol) *model.ListenerTLS {
	modes := []model.ListenerTLSMode{model.TerminateTLS, model.TerminateTLS, model.MutualListenerTLS, model.OptionalMutualTLS, model.MeshListenerTLS}
	if p == model.ListenTLS {
		modes = append(modes, model.PassthroughTLS, model.AutoPassthroughTLS)
	}
	out := &model.ListenerTLS{Mode: rapid.SampledFrom(modes).Draw(t, "mode")}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"front", "missing"}), 1, 2, rapid.ID[string]).Draw(t, "credentials") {
		out.Credentials = append(out.Credentials, model.CredentialRef{Name: name})
	}
	out.AllowInvalidClients = rapid.IntRange(0, 4).Draw(t, "any client") == 0
	if rapid.Bool().Draw(t, "names") {
		out.SubjectNames = []string{"client.example", "spiffe://here.example/ns/shop/sa/client"}
	}
	if rapid.Bool().Draw(t, "ciphers") {
		out.MinVersion, out.CipherSuites = 0x0303, []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "AES256-SHA"}
	}
	return out
}
