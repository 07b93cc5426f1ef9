// SPDX-License-Identifier: Apache-2.0

package scope_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

var settings = &model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local"}

// service "namespace/name", or a ServiceEntry's "namespace/host.with.dots".
func service(key string, exportTo ...string) *model.Service {
	namespace, name, _ := strings.Cut(key, "/")
	svc := &model.Service{
		Hostname: model.Hostname(name + "." + namespace + ".svc.cluster.local"), Name: name, Namespace: namespace,
		Origin: model.Origin{Kind: "Service", Namespace: namespace, Name: name},
		Ports:  []model.Port{{Number: 80, Protocol: model.HTTP}},
	}
	if strings.Contains(name, ".") {
		svc.Hostname, svc.Origin.Kind = model.Hostname(name), "ServiceEntry"
	}
	svc.Visible = visible(exportTo)
	return svc
}

func visible(exportTo []string) model.Visibility {
	return model.Visibility{Limited: len(exportTo) > 0, Namespaces: slices.DeleteFunc(exportTo, func(n string) bool { return n == "~" })}
}

func mesh(services ...*model.Service) *model.Mesh {
	m := &model.Mesh{Settings: settings}
	slices.SortStableFunc(services, func(a, b *model.Service) int {
		return strings.Compare(string(a.Hostname)+"\x00"+a.Namespace, string(b.Hostname)+"\x00"+b.Namespace)
	})
	for _, s := range services {
		m.Services = append(m.Services, model.ServiceState{Service: s, Endpoints: []*model.EndpointSet{{}}})
	}
	return m
}

func egress(hosts ...string) []model.Egress {
	e := model.Egress{}
	for _, h := range hosts {
		namespace, host, _ := strings.Cut(h, "/")
		e.Hosts = append(e.Hosts, model.ListenerHost{Namespace: namespace, Host: host})
	}
	return []model.Egress{e}
}

func sidecar(namespace, name string, selector model.Labels, hosts ...string) *model.Scope {
	return &model.Scope{Origin: model.Origin{Kind: "Sidecar", Namespace: namespace, Name: name}, Selector: selector, Egress: egress(hosts...)}
}

func names(states []model.ServiceState) string {
	var out []string
	for _, st := range states {
		out = append(out, st.Service.Namespace+"/"+st.Service.Name)
	}
	return strings.Join(out, " ")
}

func TestServices(t *testing.T) {
	old := service("bank/api.example.com")
	young := service("shop/api.example.com")
	young.Origin.CreatedUnix = 1
	kube := service("shop/api.example.com")
	kube.Origin = model.Origin{Kind: "Service", CreatedUnix: 9}
	kube.Namespace = "kube"
	all := func(exportTo ...string) *model.Mesh { return mesh(service("bank/a"), service("shop/b", exportTo...)) }
	with := func(m *model.Mesh, scopes ...*model.Scope) *model.Mesh { m.Scopes = scopes; return m }
	in := func(namespace string) scope.Caller { return scope.Caller{Namespace: namespace} }
	for name, c := range map[string]struct {
		mesh *model.Mesh
		from scope.Caller
		want string
	}{
		"Everything":                 {all(), in("bank"), "bank/a shop/b"},
		"ExportedToOwn":              {all("shop"), in("bank"), "bank/a"},
		"ExportedToOwnSeenByOwn":     {all("shop"), in("shop"), "bank/a shop/b"},
		"ExportedToNobody":           {all("~"), in("shop"), "bank/a"},
		"ExportedToOther":            {all("bank"), in("bank"), "bank/a shop/b"},
		"NamelessSeesWhatAllSee":     {all("shop"), scope.Caller{}, "bank/a"},
		"OwnNamespaceOfOneHostname":  {mesh(old, young), in("shop"), "shop/api.example.com"},
		"OldestOfOneHostname":        {mesh(old, young), in("default"), "bank/api.example.com"},
		"KubernetesBeforeEntries":    {mesh(old, kube), in("default"), "kube/api.example.com"},
		"Sidecar":                    {with(all(), sidecar("bank", "default", "", "shop/*")), in("bank"), "shop/b"},
		"SidecarOfOtherNamespace":    {with(all(), sidecar("bank", "default", "", "shop/*")), in("shop"), "bank/a shop/b"},
		"SidecarNamesHost":           {with(all(), sidecar("bank", "default", "", "*/a.bank.svc.cluster.local")), in("bank"), "bank/a"},
		"SidecarNamesSuffix":         {with(all(), sidecar("bank", "default", "", "*/*.shop.svc.cluster.local")), in("bank"), "shop/b"},
		"SidecarNamesNobody":         {with(all(), sidecar("bank", "default", "", "~/*")), in("bank"), ""},
		"SidecarTakesAway":           {with(all(), sidecar("bank", "default", "", "*/*", "~shop/*")), in("bank"), "bank/a"},
		"SidecarOfRoot":              {with(all(), sidecar("istio-system", "default", "", "./*")), in("bank"), "bank/a"},
		"OwnSidecarBeforeRoots":      {with(all(), sidecar("istio-system", "default", "", "./*"), sidecar("bank", "default", "", "shop/*")), in("bank"), "shop/b"},
		"SelectingBeforeNamespaces":  {with(all(), sidecar("bank", "all", "", "shop/*"), sidecar("bank", "one", "app=x", "bank/*")), scope.Caller{Namespace: "bank", Labels: "app=x"}, "bank/a"},
		"SelectingOthers":            {with(all(), sidecar("bank", "one", "app=x", "bank/*")), scope.Caller{Namespace: "bank", Labels: "app=y"}, "bank/a shop/b"},
		"SidecarDoesntHoldAtGateway": {with(all(), sidecar("bank", "all", "", "shop/*")), scope.Caller{Namespace: "bank", Gateway: true}, "bank/a shop/b"},
		"SidecarSeesWhatIsExported":  {with(all("shop"), sidecar("bank", "all", "", "shop/*")), in("bank"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := names(scope.Build(c.mesh, nil).Services(c.from)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestService(t *testing.T) {
	aliased := service("shop/b")
	aliased.Aliases = []model.Hostname{"b.shop.svc.clusterset.local"}
	x := scope.Build(mesh(aliased, service("shop/*.example.com"), service("shop/*.eu.example.com"), service("shop/api.example.com")), nil)
	for host, want := range map[model.Hostname]string{
		"b.shop.svc.cluster.local": "b", "b.shop.svc.clusterset.local": "b", "api.example.com": "api.example.com",
		"x.example.com": "*.example.com", "x.eu.example.com": "*.eu.example.com", "example.com": "", "other.org": "",
	} {
		st, ok := x.Service(scope.Caller{Namespace: "any"}, host)
		if ok != (want != "") || ok && st.Service.Name != want {
			t.Errorf("%s is %v, want %q", host, st.Service, want)
		}
	}
}

func rule(namespace, name, host string, change ...func(*model.DestinationPolicy)) *model.DestinationPolicy {
	p := &model.DestinationPolicy{Origin: model.Origin{Kind: "DestinationRule", Namespace: namespace, Name: name}, Host: host}
	for _, c := range change {
		c(p)
	}
	return p
}

func TestPolicy(t *testing.T) {
	const host = "b.shop.svc.cluster.local"
	selects := func(l model.Labels) func(*model.DestinationPolicy) {
		return func(p *model.DestinationPolicy) { p.Selector = l }
	}
	exports := func(to ...string) func(*model.DestinationPolicy) {
		return func(p *model.DestinationPolicy) { p.Visible = visible(to) }
	}
	caller := scope.Caller{Namespace: "bank", Labels: "app=x"}
	for name, c := range map[string]struct {
		rules []*model.DestinationPolicy
		from  scope.Caller
		want  string
	}{
		"None":                          {nil, caller, ""},
		"CallersBeforeServices":         {[]*model.DestinationPolicy{rule("shop", "s", host), rule("bank", "c", host)}, caller, "c"},
		"ServicesBeforeRoots":           {[]*model.DestinationPolicy{rule("istio-system", "r", host), rule("shop", "s", host)}, caller, "s"},
		"Roots":                         {[]*model.DestinationPolicy{rule("istio-system", "r", host)}, caller, "r"},
		"OthersNever":                   {[]*model.DestinationPolicy{rule("default", "o", host)}, caller, ""},
		"ExactBeforeWildcard":           {[]*model.DestinationPolicy{rule("shop", "w", "*.shop.svc.cluster.local"), rule("shop", "e", host)}, caller, "e"},
		"LongestWildcard":               {[]*model.DestinationPolicy{rule("shop", "w", "*.cluster.local"), rule("shop", "l", "*.shop.svc.cluster.local")}, caller, "l"},
		"WildcardOfCallerBeforeExact":   {[]*model.DestinationPolicy{rule("bank", "w", "*.cluster.local"), rule("shop", "e", host)}, caller, "w"},
		"NotExported":                   {[]*model.DestinationPolicy{rule("shop", "s", host, exports("shop")), rule("istio-system", "r", host)}, caller, "r"},
		"OwnNotExported":                {[]*model.DestinationPolicy{rule("shop", "s", host, exports("shop"))}, scope.Caller{Namespace: "shop"}, "s"},
		"Selecting":                     {[]*model.DestinationPolicy{rule("bank", "all", host), rule("bank", "x", host, selects("app=x"))}, caller, "x"},
		"SelectingOthers":               {[]*model.DestinationPolicy{rule("bank", "all", host), rule("bank", "y", host, selects("app=y"))}, caller, "all"},
		"SelectingNeverCallersOfOthers": {[]*model.DestinationPolicy{rule("shop", "x", host, selects("app=x"))}, caller, ""},
		"SelectingOthersFallsThrough":   {[]*model.DestinationPolicy{rule("bank", "y", host, selects("app=y")), rule("shop", "s", host)}, caller, "s"},
	} {
		t.Run(name, func(t *testing.T) {
			svc := service("shop/b")
			m := mesh(svc)
			m.Policies = c.rules
			p := scope.Build(m, nil).Policy(c.from, svc)
			if got := nameOf(p); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func nameOf(p *model.DestinationPolicy) string {
	if p == nil {
		return ""
	}
	return p.Name
}

func TestMergedPolicies(t *testing.T) {
	svc := service("shop/b")
	pool, tls := &model.ConnectionPool{MaxConnections: 1}, &model.ClientTLS{Mode: model.SimpleTLS}
	subset := func(names ...string) func(*model.DestinationPolicy) {
		return func(p *model.DestinationPolicy) {
			for _, n := range names {
				p.Subsets = append(p.Subsets, model.Subset{Name: n, Labels: model.Labels("from=" + p.Name)})
			}
		}
	}
	limits := func(p *model.DestinationPolicy) { p.Policy.Connections = pool }
	backend := func(p *model.DestinationPolicy) { p.Kind, p.Policy.TLS = "BackendTLSPolicy", tls }
	old, young := rule("shop", "old", string(svc.Hostname), subset("v2", "v1")), rule("shop", "young", string(svc.Hostname), subset("v1", "v3"), limits)
	m := mesh(svc)
	m.Policies = []*model.DestinationPolicy{old, young, rule("shop", "tls", string(svc.Hostname), backend)}
	x := scope.Build(m, nil)
	got := x.Policy(scope.Caller{Namespace: "bank"}, svc)
	both := model.TrafficPolicy{PortPolicy: model.PortPolicy{Connections: pool, TLS: tls}}
	want := &model.DestinationPolicy{
		Origin: old.Origin, Host: string(svc.Hostname), Policy: both,
		Subsets: []model.Subset{{Name: "v1", Labels: "from=old", Policy: both}, {Name: "v2", Labels: "from=old", Policy: both}, {Name: "v3", Labels: "from=young", Policy: both}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	// The next index gives the same pointer as long as the rules are the same.
	other := *m
	other.Policies = append(slices.Clone(m.Policies), rule("default", "other", "x.example.com"))
	if again := scope.Build(&other, x).Policy(scope.Caller{}, svc); again != got {
		t.Error("the same rules make another pointer")
	}
}

func routing(namespace, name string, hosts ...string) *model.Routing {
	return &model.Routing{
		Origin: model.Origin{Kind: "VirtualService", Namespace: namespace, Name: name}, Hosts: hosts, Gateways: []model.GatewayRef{model.Sidecars},
		HTTP: []model.HTTPRule{{Destinations: []model.Destination{{Host: "b.shop.svc.cluster.local"}}}},
	}
}

func TestRoutings(t *testing.T) {
	with := func(r *model.Routing, change func(*model.Routing)) *model.Routing { change(r); return r }
	api := func(r *model.Routing) { r.BySpecificity = true }
	consumer := func(r *model.Routing) { r.BySpecificity, r.ConsumerNamespace = true, "bank" }
	all := mesh(service("shop/b"), service("bank/a"))
	scoped := mesh(service("shop/b"), service("bank/a"))
	scoped.Scopes = []*model.Scope{sidecar("bank", "default", "", "bank/*")}
	for name, c := range map[string]struct {
		mesh     *model.Mesh
		from     string
		host     model.Hostname
		routings []*model.Routing
		want     string
	}{
		"None":                {all, "bank", "a", []*model.Routing{routing("shop", "r", "b")}, ""},
		"Exact":               {all, "bank", "a.x", []*model.Routing{routing("shop", "w", "*.x"), routing("shop", "e", "a.x")}, "e"},
		"LongestWildcard":     {all, "bank", "a.y.x", []*model.Routing{routing("shop", "w", "*.x"), routing("shop", "l", "*.y.x")}, "l"},
		"OldestOfIstio":       {all, "bank", "a", []*model.Routing{routing("shop", "o", "a"), routing("shop", "y", "a")}, "o"},
		"AllOfGatewayAPI":     {all, "bank", "a", []*model.Routing{with(routing("shop", "o", "a"), api), with(routing("shop", "y", "a"), api)}, "o y"},
		"ConsumersOwn":        {all, "bank", "a", []*model.Routing{with(routing("shop", "o", "a"), api), with(routing("bank", "c", "a"), consumer)}, "c"},
		"NotOfConsumer":       {all, "shop", "a", []*model.Routing{with(routing("shop", "o", "a"), api), with(routing("bank", "c", "a"), consumer)}, "o"},
		"OlderIstioAlone":     {all, "bank", "a", []*model.Routing{routing("shop", "i", "a"), with(routing("shop", "o", "a"), api)}, "i"},
		"YoungerIstioNot":     {all, "bank", "a", []*model.Routing{with(routing("shop", "o", "a"), api), routing("shop", "i", "a")}, "o"},
		"NotExported":         {all, "bank", "a", []*model.Routing{with(routing("shop", "p", "a"), func(r *model.Routing) { r.Visible = visible([]string{"shop"}) })}, ""},
		"BoundToGateway":      {all, "bank", "a", []*model.Routing{with(routing("shop", "p", "a"), func(r *model.Routing) { r.Gateways = []model.GatewayRef{{Namespace: "shop", Name: "g"}} })}, ""},
		"OutsideOfSidecar":    {scoped, "bank", "a", []*model.Routing{routing("shop", "r", "a")}, ""},
		"InsideOfSidecar":     {scoped, "bank", "a", []*model.Routing{routing("bank", "r", "a")}, "r"},
		"OneHostOfSidecar":    {scoped, "bank", "a", []*model.Routing{routing("bank", "r", "a", "b")}, "r"},
		"SidecarElsewhere":    {scoped, "shop", "a", []*model.Routing{routing("shop", "r", "a")}, "r"},
		"WildcardIsNotItself": {all, "bank", "x", []*model.Routing{routing("shop", "w", "*.x")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := *c.mesh
			m.Routings = c.routings
			var got []string
			for _, r := range scope.Build(&m, nil).Governing(scope.Caller{Namespace: c.from}, c.host) {
				got = append(got, r.Name)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

// TestSidecarSeesWhatItsRoutingsSendTo, though it doesn't name it.
func TestSidecarSeesWhatItsRoutingsSendTo(t *testing.T) {
	m := mesh(service("shop/b"), service("bank/a"))
	m.Scopes = []*model.Scope{sidecar("bank", "default", "", "bank/*")}
	m.Routings = []*model.Routing{routing("bank", "r", "a.bank.svc.cluster.local")}
	if got := names(scope.Build(m, nil).Services(scope.Caller{Namespace: "bank"})); got != "bank/a shop/b" {
		t.Errorf("got %q", got)
	}
}

// TestRoutingsAtGateway: a listener's, and the whole gateway's.
func TestRoutingsAtGateway(t *testing.T) {
	m := mesh()
	whole, one, other := routing("shop", "whole", "a"), routing("shop", "one", "a"), routing("shop", "other", "a")
	g := model.GatewayRef{Namespace: "shop", Name: "g"}
	l := model.GatewayRef{Namespace: "shop", Name: "g", Listener: "l"}
	whole.Gateways, one.Gateways = []model.GatewayRef{g}, []model.GatewayRef{l, {Namespace: "shop", Name: "g", Listener: "k"}}
	m.Routings = []*model.Routing{whole, one, other}
	x := scope.Build(m, nil)
	c := scope.Caller{Namespace: "istio-system", Gateway: true}
	for at, want := range map[model.GatewayRef]int{g: 2, l: 2, {Namespace: "shop", Name: "g", Listener: "x"}: 1, {Namespace: "shop", Name: "h"}: 0} {
		if got := x.Routings(c, at); len(got) != want {
			t.Errorf("at %v: %d routings, want %d", at, len(got), want)
		}
	}
}

// TestClass: callers are told apart by what makes a difference, and by nothing else.
func TestClass(t *testing.T) {
	m := mesh(service("shop/b"), service("bank/a", "bank"))
	m.Policies = []*model.DestinationPolicy{
		rule("shop", "own", "b.shop.svc.cluster.local"),
		rule("shop", "ownWildcard", "*.shop.svc.cluster.local"),
		rule("other", "foreign", "b.shop.svc.cluster.local"),
		rule("picky", "selecting", "b.shop.svc.cluster.local", func(p *model.DestinationPolicy) { p.Selector = "app=x" }),
	}
	m.Scopes = []*model.Scope{sidecar("scoped", "default", "", "*/*")}
	x := scope.Build(m, nil)
	for name, c := range map[string]struct {
		from scope.Caller
		want scope.Class
	}{
		"Nothing":            {scope.Caller{Namespace: "default"}, scope.Class{}},
		"PolicyOfOwnService": {scope.Caller{Namespace: "shop"}, scope.Class{}},
		"ExportedTo":         {scope.Caller{Namespace: "bank"}, scope.Class{Namespace: "bank"}},
		"PolicyOnOthers":     {scope.Caller{Namespace: "other"}, scope.Class{Namespace: "other"}},
		"Labels":             {scope.Caller{Namespace: "picky", Labels: "app=x,v=1"}, scope.Class{Namespace: "picky", Labels: "app=x"}},
		"Scope":              {scope.Caller{Namespace: "scoped"}, scope.Class{Namespace: "scoped", ScopeNamespace: "scoped", ScopeName: "default"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := x.Class(c.from); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestHiddenServicesAreTold(t *testing.T) {
	x := scope.Build(mesh(service("bank/api.example.com"), service("shop/api.example.com"), service("own/api.example.com", "own")), nil)
	p := x.Problems()
	if len(p) != 1 || p[0].Namespace != "shop" || p[0].Reason != "HostConflict" || !strings.Contains(p[0].Message, "bank/api.example.com") {
		t.Errorf("problems %+v", p)
	}
}
