// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// edge is a gateway of these listeners that all pods serve.
func edge(created int64, listeners ...model.Listener) func(m *model.Mesh) {
	g := &model.Gateway{Origin: origin("Gateway", "edge", created), Selector: model.LabelsOf(map[string]string{"role": "edge"}), Listeners: listeners}
	return func(m *model.Mesh) { m.Gateways = []*model.Gateway{g} }
}

// mutual takes mutual TLS on port 443 for a host, of callers with one name.
func mutual(name, host, caller string) model.Listener {
	return model.Listener{
		Name: name, Port: 443, Protocol: model.ListenHTTPS, Hosts: []model.ListenerHost{{Host: host}},
		TLS: &model.ListenerTLS{Mode: model.MeshListenerTLS, SubjectNames: []string{caller}},
	}
}

func plain(name, host string, port uint16) model.Listener {
	return model.Listener{Name: name, Port: port, Protocol: model.ListenHTTP, Hosts: []model.ListenerHost{{Host: host}}}
}

// atEdge is a routing of a.example there; the header shows it.
func atEdge(name, header string, created int64) *model.Routing {
	r := toService(1, name, header, created)
	r.Hosts, r.Gateways = []string{"a.example"}, []model.GatewayRef{{Namespace: "ns0", Name: "edge"}}
	return r
}

// part of a VirtualService that another one says, which delegates the rest to it.
func delegating(created int64, header string) func(m *model.Mesh) {
	root, of := toService(1, "root", "of-root", 300), toService(1, "part", header, created)
	rule := of.HTTP[0]
	rule.Delegate = &of.Origin
	root.HTTP = append([]model.HTTPRule{rule}, root.HTTP...)
	return func(m *model.Mesh) { m.Routings = []*model.Routing{root} }
}

// calls of a Scope by way of a socket, beside those that the namespace may see.
func narrow(created int64, socket, endpoint string) func(m *model.Mesh) {
	closed := true
	x := &model.Scope{
		Origin: origin("Sidecar", "narrow", created), RegistryOnly: &closed,
		Egress: []model.Egress{
			{Hosts: []model.ListenerHost{{Namespace: "ns0", Host: "*"}, {Namespace: "ns1", Host: "*"}}},
			{Bind: "unix:///" + socket, AnyPort: true, Protocol: model.HTTP, Hosts: []model.ListenerHost{{Namespace: "ns2", Host: "*"}}},
		},
		Ingress: []model.Ingress{{Port: 8081, Name: "in", Protocol: model.HTTP, Endpoint: "unix:///" + endpoint}},
	}
	return func(m *model.Mesh) { m.Scopes = []*model.Scope{x} }
}

// TestSparedParts: of an object with parts only the part that a proxy refuses is
// set aside, and nothing that it kept to itself goes to another one.
func TestSparedParts(t *testing.T) {
	type meshes = []func(m *model.Mesh)
	fine := mutual("a", "a.example", "caller-a")
	socketTLS := func(sni string) func(m *model.Mesh) {
		p := how(1, "d", "x-key", 300)
		p.Policy.TLS.SNI = sni
		return func(m *model.Mesh) { m.Policies = []*model.DestinationPolicy{p} }
	}
	for name, test := range map[string]struct {
		kind  model.ProxyType
		steps meshes
		words string
		want  string
		told  string
	}{
		"NewServer": {
			kind: model.Router, steps: meshes{edge(50, fine), edge(50, fine, mutual("b", "b.example", "bad"))},
			words: "caller-a b.example bad", want: "caller-a b.example", // it may have been closed to others
			told: "Gateway edge spec.servers[1]: nothing is served there for its hosts",
		},
		"NewGateway": {
			kind: model.Router, steps: meshes{func(*model.Mesh) {}, edge(300, fine, mutual("b", "b.example", "bad"))},
			words: "caller-a b.example bad", want: "caller-a",
			told: "Gateway edge spec.servers[1]: it is left out for it",
		},
		// Beside a server that would take its host it isn't left out.
		"NewGatewayWithAWiderServer": {
			kind: model.Router, steps: meshes{func(*model.Mesh) {}, edge(300, mutual("a", "*.example", "caller-a"), mutual("b", "b.example", "bad"))},
			words: "caller-a b.example bad", want: "caller-a b.example",
			told: "Gateway edge spec.servers[1]: nothing is served there for its hosts",
		},
		"ServerStaysAsItWas": {
			kind:  model.Router,
			steps: meshes{edge(300, fine, mutual("b", "b.example", "was-fine")), edge(300, mutual("a", "a.example", "another"), mutual("b", "b.example", "bad"))},
			words: "caller-a another was-fine bad", want: "another was-fine",
			told: "Gateway edge spec.servers[1]: it stays there as it was before the change",
		},
		// Its host as it was isn't the one that is to be kept from the other one now.
		"ServerAsItWasDoesntSuit": {
			kind:  model.Router,
			steps: meshes{edge(300, fine, mutual("b", "b.example", "was-fine")), edge(300, mutual("a", "*.example", "caller-a"), mutual("b", "c.example", "bad"))},
			words: "caller-a was-fine bad c.example b.example", want: "caller-a c.example",
			told: "Gateway edge spec.servers[1]: nothing is served there for its hosts",
		},
		// Neither does what is plain stand in for TLS.
		"PlainBeforeDoesntSuitTLS": {
			kind:  model.Router,
			steps: meshes{edge(300, fine, plain("b", "b.example", 443)), edge(300, mutual("b", "b.example", "bad"))},
			words: "bad b.example http_connection_manager", want: "b.example",
			told: "Gateway edge spec.servers[0]: nothing is served there for its hosts",
		},
		// The other one took a.example only when the server was set aside.
		"WidenedBeside": {
			kind: model.Router,
			steps: meshes{
				func(*model.Mesh) {}, edge(300, fine, mutual("b", "b.example", "bad")),
				edge(300, mutual("a", "*.example", "caller-a"), mutual("b", "b.example", "bad")),
			},
			words: "caller-a b.example bad", want: "caller-a b.example",
			told: "Gateway edge spec.servers[1]: nothing is served there for its hosts",
		},
		"HostThatNobodyElseWouldTake": {
			kind: model.Router, steps: meshes{edge(50, fine, plain("b", "bad.example", 80), plain("c", "c.example", 80))},
			words: "caller-a bad c.example", want: "caller-a c.example",
			told: "Gateway edge spec.servers[1]: nothing is served there for its hosts",
		},
		// It can't be kept from the other one without its name: the proxy stays as it is.
		"HostThatAnotherWouldTake": {
			kind: model.Router, steps: meshes{edge(50, plain("b", "bad.example", 80), plain("c", "*.example", 80))},
			words: "bad c.example", want: "",
		},
		// What others say goes with a server, a Scope or a root: they are suspected last.
		"RoutingOfANewGateway": {
			kind: model.Router,
			steps: meshes{func(*model.Mesh) {}, func(m *model.Mesh) {
				edge(300, fine)(m)
				m.Routings = []*model.Routing{atEdge("r", "bad", 200), atEdge("s", "fine-route", 201)}
			}},
			words: "caller-a fine-route bad", want: "caller-a fine-route",
			told: "VirtualService r spec: it is left out for it",
		},
		"UnknownRoutingOfAYoungGateway": {
			kind: model.Router,
			steps: meshes{func(m *model.Mesh) {
				edge(60, fine)(m)
				m.Routings = []*model.Routing{atEdge("r", "bad", 50), atEdge("s", "fine-route", 51)}
			}},
			words: "caller-a fine-route bad", want: "caller-a fine-route",
			told: "VirtualService r spec: calls that it is about fail there",
		},
		"UnknownRoutingUnderAYoungSidecar": {
			steps: meshes{func(m *model.Mesh) {
				narrow(60, "socket", "app")(m)
				m.Routings = []*model.Routing{toService(1, "r", "bad", 50)}
			}},
			words: "/socket bad", want: "/socket",
			told: "VirtualService r spec: calls that it is about fail there",
		},
		"DelegateOfAYoungRoot": {
			steps: meshes{delegating(50, "bad-one")},
			words: "of-root bad-one /of-part", want: "of-root /of-part",
			told: "VirtualService part spec: calls that its rules are about fail there",
		},
		"MendedServer": {
			kind: model.Router, steps: meshes{edge(50, fine, mutual("b", "b.example", "bad")), edge(50, fine, mutual("b", "b.example", "mended"))},
			words: "caller-a bad mended", want: "caller-a mended",
		},
		"DelegateStaysAsItWas": {
			steps: meshes{delegating(301, "was-fine"), delegating(301, "bad-one")},
			words: "of-root was-fine bad-one", want: "of-root was-fine",
			told: "VirtualService part spec: it stays there as it was before the change",
		},
		"UnknownDelegateLeadsNowhere": {
			steps: meshes{delegating(301, "bad-one")},
			words: "of-root bad-one /of-part", want: "of-root /of-part",
			told: "VirtualService part spec: calls that its rules are about fail there",
		},
		"MendedDelegate": {
			steps: meshes{delegating(301, "bad-one"), delegating(301, "mended")},
			words: "of-root bad-one mended", want: "of-root mended",
		},
		"NewSidecar": {
			steps: meshes{func(*model.Mesh) {}, narrow(300, "bad", "fine")},
			words: "bad fine svc00003.ns3", want: "svc00003.ns3",
			told: "Sidecar narrow spec.egress: it is left out for it",
		},
		"SidecarStaysAsItWas": {
			steps: meshes{narrow(50, "was-fine", "app"), narrow(50, "bad", "app-2")},
			words: "bad was-fine app-2 svc00003.ns3", want: "was-fine",
			told: "Sidecar narrow spec.egress: it stays there as it was before the change",
		},
		// What it doesn't let be called still isn't.
		"UnknownSidecarClosesItsListeners": {
			steps: meshes{narrow(50, "bad", "app")},
			words: "bad /app svc00001.ns1 svc00002.ns2:80 svc00003.ns3 PassthroughCluster", want: "/app svc00001.ns1 PassthroughCluster",
			told: "Sidecar narrow spec.egress: its egress listeners with an address of their own are closed there",
		},
		"UnknownSidecarClosesItsPorts": {
			steps: meshes{narrow(50, "socket", "bad")},
			words: "bad /socket inbound|8081||-closed svc00003.ns3", want: "/socket inbound|8081||-closed",
			told: "Sidecar narrow spec.ingress: its ingress ports are closed there",
		},
		"UnknownSidecarClosesBoth": {
			steps: meshes{narrow(50, "bad-socket", "bad")},
			words: "bad unix: inbound|8081||-closed svc00003.ns3", want: "inbound|8081||-closed",
			told: "Sidecar narrow spec.ingress: its egress listeners with an address of their own are closed there, and so are its ingress ports",
		},
		"UnknownPolicyWithBadTLS": {
			steps: meshes{socketTLS("bad.example")},
			words: "bad.example svc00002.ns2", want: "svc00002.ns2",
			told: "DestinationRule d spec: nothing is sent there to its hosts",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			w.kind = test.kind
			for _, p := range w.mesh.Workloads {
				p.Labels["role"] = "edge"
			}
			for _, change := range test.steps {
				w.now(change)
			}
			if d := cmp.Diff(test.want, w.inForce(test.words)); d != "" {
				t.Errorf("in force -want +got:\n%s", d)
			}
			var told []string
			for _, p := range w.shown.Blame(nil) {
				_, goesOn, _ := strings.Cut(p.Message, "changes, so ")
				goesOn, _, _ = strings.Cut(goesOn, ":")
				told = append(told, p.Kind+" "+p.Name+" "+p.Field+": "+goesOn)
			}
			if d := cmp.Diff(test.told, strings.Join(told, "\n")); d != "" {
				t.Errorf("told -want +got:\n%s", d)
			}
		})
	}
}
