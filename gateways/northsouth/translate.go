// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"maps"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// translation is one run of Translate.
type translation struct {
	Input
	caller   scope.Caller
	clusters map[string]bool
	secrets  map[string]*envoy.Resource
	problem  map[model.Problem]bool
	// barred are the routings of closed listeners.
	barred map[*model.Routing]*model.Routing
	// quics are listeners of HTTP/3 by name.
	quics     map[string]*listenerv3.Listener
	quicOrder []quicListener
	out       *Output
}

// Translate makes what the proxies of a class see.
func Translate(in Input) *Output {
	t := &translation{
		Input:    in,
		caller:   scope.Caller{Namespace: in.Proxy.Namespace, Labels: in.Proxy.Labels, Gateway: true},
		clusters: map[string]bool{}, secrets: map[string]*envoy.Resource{},
		problem: map[model.Problem]bool{}, barred: map[*model.Routing]*model.Routing{},
		quics: map[string]*listenerv3.Listener{},
		out:   &Output{},
	}
	for _, b := range t.binds() {
		t.listen(b)
	}
	t.asked()
	for _, q := range t.quicOrder {
		t.add(&t.out.Listeners, q.first, q.listener.GetName(), q.listener)
	}
	for _, name := range slices.Sorted(maps.Keys(t.secrets)) {
		t.out.Secrets = append(t.out.Secrets, t.secrets[name])
	}
	t.out.Clusters = slices.Sorted(maps.Keys(t.clusters))
	return t.out
}

// asked are the clusters of the external authorizers that policies ask, and of what
// else filters do.
func (t *translation) asked() {
	for _, name := range t.Asked {
		t.clusters[name] = true
	}
	for _, name := range t.Policies.Authorizers(t.Mesh.Settings) {
		t.clusters[name] = true
	}
}

// clashes are the reasons of what two objects want of which one gets it.
var clashes = map[string]bool{"Conflict": true, "HostConflict": true, "PortConflict": true}

// report a Problem, once. Those of proxies that nobody knows are told when
// somebody does; of those that are only assumed, what objects say by themselves.
func (t *translation) report(problems ...model.Problem) {
	if !t.Proxy.Known && !t.Assumed {
		return
	}
	for _, p := range problems {
		if !t.problem[p] && (!t.Assumed || clashes[p.Reason]) {
			t.problem[p] = true
			t.out.Problems = append(t.out.Problems, p)
		}
	}
}

// add a resource to a list; what can't be encoded is told on the gateway.
func (t *translation) add(to *[]*envoy.Resource, a attached, name string, m proto.Message) {
	r, err := envoy.NewResource(name, m)
	if err != nil {
		t.report(a.problem("", "NotTranslated", "%v", err))
		return
	}
	*to = append(*to, r)
}

// context of routings that are bound to a listener.
func (t *translation) context(a attached) routing.Context {
	port := a.listener.Port
	return routing.Context{
		Settings: t.Mesh.Settings, Port: port, At: a.ref(),
		Namespace: t.Proxy.Namespace, Labels: t.Proxy.Labels,
		Cluster: func(d model.Destination) (routing.Cluster, bool) {
			c, ok := t.Cluster(d, port)
			if ok {
				t.clusters[c.Name] = true
			}
			return c, ok
		},
	}
}
