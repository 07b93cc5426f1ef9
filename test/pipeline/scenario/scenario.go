// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Mesh of the lines of a scenario. The lines of other kinds are returned as
// they are.
func Mesh(text string) (*model.Mesh, []string, error) {
	b := &builder{mesh: &model.Mesh{Settings: &model.Settings{
		MeshID: "mesh", Cluster: "here", Network: "n1", TrustDomain: "here.example", RootNamespace: "istio-system",
		DomainSuffix: "cluster.local", AutoMTLS: true, ConnectTimeoutMillis: 10000,
	}}}
	var rest []string
	for n, s := range strings.Split(text, "\n") {
		s = strings.TrimSpace(s)
		if s == "" || strings.HasPrefix(s, "#") {
			continue
		}
		l := parseLine(s)
		known, err := b.add(&l)
		if err == nil && known {
			err = l.rest()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if !known {
			rest = append(rest, s)
		}
	}
	b.sort()
	return b.mesh, rest, nil
}

type builder struct{ mesh *model.Mesh }

func (b *builder) add(l *line) (bool, error) {
	switch l.kind {
	case "member":
		b.member(l)
		return true, nil
	case "service":
		return true, b.service(l)
	case "endpoint", "import":
		return true, b.endpoint(l)
	case "workload":
		return true, b.workload(l)
	default:
		return false, nil
	}
}

func (b *builder) member(l *line) {
	s := b.mesh.Settings
	s.Cluster = model.ClusterID(l.name)
	s.Network = model.NetworkID(cmp.Or(l.one("network"), string(s.Network)))
	s.TrustDomain = cmp.Or(l.one("trust"), s.TrustDomain)
	s.Locality = model.Locality{Region: l.one("region"), Zone: l.one("zone")}
	s.OutboundRegistryOnly = l.flag("registry-only")
	s.AutoMTLS = !l.flag("no-auto-mtls")
	s.AccessLogPath = l.one("log")
}

func (b *builder) service(l *line) error {
	namespace, name, ok := strings.Cut(l.name, "/")
	if !ok {
		return fmt.Errorf("service %s is not namespace/name", l.name)
	}
	svc := &model.Service{
		Hostname: b.hostname(l.name), Name: name, Namespace: namespace,
		Exported: l.flag("exported"), Imported: l.flag("imported"), Local: !l.flag("remote"),
		PreferClose: l.flag("prefer-close"), ExternalName: l.one("external"),
	}
	switch {
	case l.flag("headless"):
		svc.Kind = model.Headless
	case svc.ExternalName != "":
		svc.Kind = model.ExternalName
	}
	if svc.Exported || svc.Imported {
		svc.Aliases = []model.Hostname{model.Hostname(name + "." + namespace + ".svc.clusterset.local")}
	}
	for _, v := range l.all("vip") {
		a, err := netip.ParseAddr(v)
		if err != nil {
			return err
		}
		svc.Addresses = append(svc.Addresses, a)
	}
	for _, v := range l.all("id") {
		svc.Identities = append(svc.Identities, b.identity(v))
	}
	slices.Sort(svc.Identities)
	state := model.ServiceState{Service: svc}
	for _, v := range l.all("port") {
		n, p, _ := strings.Cut(v, "/")
		port := model.Port{Name: strings.ToLower(p) + "-" + n}
		var err error
		if port.Number, err = number(n); err != nil {
			return err
		}
		if port.Protocol, err = protocol(p); err != nil {
			return err
		}
		svc.Ports = append(svc.Ports, port)
		state.Endpoints = append(state.Endpoints, &model.EndpointSet{})
	}
	b.mesh.Services = append(b.mesh.Services, state)
	return nil
}

// endpoint of this member, or import of another one's.
func (b *builder) endpoint(l *line) error {
	e := model.Endpoint{
		Weight: 1, MTLS: !l.flag("plain"), Draining: l.flag("draining"), Unreached: l.flag("unreached"), Hostname: l.one("hostname"), Labels: model.Labels(l.one("labels")), Node: l.one("node"), Workload: l.one("workload"),
		Cluster: model.ClusterID(cmp.Or(l.one("member"), string(b.mesh.Settings.Cluster))),
		Network: model.NetworkID(cmp.Or(l.one("network"), string(b.mesh.Settings.Network))),
	}
	if z := l.one("zone"); z != "" {
		e.Locality = locality(z)
	}
	if w := l.one("weight"); w != "" {
		n, err := strconv.ParseUint(w, 10, 32)
		if err != nil {
			return err
		}
		e.Weight = uint32(n)
	}
	address := l.one("gateway")
	e.Gateway = address != ""
	if !e.Gateway {
		address = l.word()
	}
	var err error
	if e.Address, e.Port, err = addressPort(address); err != nil {
		return fmt.Errorf("%s %s: %w", l.kind, l.name, err)
	}
	subsets := l.all("subset")
	name, port, _ := strings.Cut(l.name, ":")
	for _, st := range b.mesh.Services {
		for i, p := range st.Service.Ports {
			if st.Service.Hostname == b.hostname(name) && strconv.Itoa(int(p.Number)) == port {
				st.Endpoints[i].Endpoints = append(st.Endpoints[i].Endpoints, e)
				return addSubsets(st.Endpoints[i], e, subsets)
			}
		}
	}
	return fmt.Errorf("%s %s: there is no such service port", l.kind, l.name)
}

// addSubsets that the member of an endpoint serves: name:labels, and how many of
// those behind a gateway are in it.
func addSubsets(set *model.EndpointSet, e model.Endpoint, subsets []string) error {
	for _, s := range subsets {
		parts := strings.Split(s, ":")
		if len(parts) != 2 && !(len(parts) == 3 && e.Gateway) {
			return fmt.Errorf("subset=%s is not name:labels or name:labels:count", s)
		}
		i := slices.IndexFunc(set.Beyond, func(b model.BeyondSubset) bool { return b.Name == parts[0] && string(b.Labels) == parts[1] })
		if i < 0 {
			i = len(set.Beyond)
			set.Beyond = append(set.Beyond, model.BeyondSubset{Name: parts[0], Labels: model.Labels(parts[1])})
		}
		b := &set.Beyond[i]
		if !slices.Contains(b.Members, e.Cluster) {
			b.Members = append(b.Members, e.Cluster)
		}
		if len(parts) < 3 {
			continue
		}
		n, err := strconv.ParseUint(parts[2], 10, 32)
		if err != nil {
			return err
		}
		e.Weight = uint32(n)
		b.Endpoints = append(b.Endpoints, e)
	}
	return nil
}

func (b *builder) workload(l *line) error {
	namespace, name, _ := strings.Cut(l.name, "/")
	w := &model.Workload{
		Namespace: namespace, Name: name, ServiceAccount: cmp.Or(l.one("sa"), "default"), Meshed: !l.flag("unmeshed"),
		Network: b.mesh.Settings.Network,
	}
	w.Identity = b.identity(namespace + "/" + w.ServiceAccount)
	if z := l.one("zone"); z != "" {
		w.Locality = locality(z)
	}
	w.Node = l.one("node")
	w.Labels = maps.Collect(model.Labels(l.one("labels")).All())
	var err error
	if w.MTLS, err = mode(l.one("mtls")); err != nil {
		return err
	}
	for _, v := range l.all("port-mtls") {
		n, m, _ := strings.Cut(v, "/")
		var p model.PortMTLS
		if p.Port, err = number(n); err != nil {
			return err
		}
		if p.Mode, err = mode(m); err != nil {
			return err
		}
		w.PortMTLS = append(w.PortMTLS, p)
	}
	for _, v := range l.all("in") {
		parts := strings.SplitN(v, "/", 2)
		var p model.InboundPort
		if p.Port, err = number(parts[0]); err != nil {
			return err
		}
		if p.Protocol, err = protocol(parts[len(parts)-1]); err != nil {
			return err
		}
		w.Inbound = append(w.Inbound, p)
	}
	for a := l.word(); a != ""; a = l.word() {
		address, err := netip.ParseAddr(a)
		if err != nil {
			return err
		}
		w.Addresses = append(w.Addresses, address)
	}
	b.mesh.Workloads = append(b.mesh.Workloads, w)
	return nil
}

func (b *builder) hostname(name string) model.Hostname {
	namespace, service, _ := strings.Cut(name, "/")
	return model.Hostname(service + "." + namespace + ".svc." + b.mesh.Settings.DomainSuffix)
}

// identity reads namespace/account, or trustdomain/namespace/account.
func (b *builder) identity(s string) string {
	parts := strings.Split(s, "/")
	if len(parts) == 2 {
		parts = append([]string{b.mesh.Settings.TrustDomain}, parts...)
	}
	return fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", parts[0], parts[1], parts[2])
}

// sort as ingest does.
func (b *builder) sort() {
	slices.SortFunc(b.mesh.Services, func(x, y model.ServiceState) int {
		return cmp.Compare(x.Service.Hostname, y.Service.Hostname)
	})
	for _, st := range b.mesh.Services {
		for _, set := range st.Endpoints {
			slices.SortFunc(set.Endpoints, func(x, y model.Endpoint) int {
				return cmp.Or(cmp.Compare(x.Cluster, y.Cluster), cmp.Compare(x.Address, y.Address), cmp.Compare(x.Port, y.Port))
			})
		}
	}
	slices.SortFunc(b.mesh.Workloads, func(x, y *model.Workload) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	for _, w := range b.mesh.Workloads {
		for i := range w.Inbound {
			b.belongs(w, &w.Inbound[i])
		}
	}
}

// belongs says of which service a workload's port is: the first that sends there.
func (b *builder) belongs(w *model.Workload, p *model.InboundPort) {
	for _, st := range b.mesh.Services {
		for i, set := range st.Endpoints {
			if slices.ContainsFunc(set.Endpoints, func(e model.Endpoint) bool {
				return e.Port == p.Port && slices.ContainsFunc(w.Addresses, func(a netip.Addr) bool { return a.String() == e.Address })
			}) {
				p.Service, p.ServicePort = st.Service.Hostname, st.Service.Ports[i].Number
				return
			}
		}
	}
}
