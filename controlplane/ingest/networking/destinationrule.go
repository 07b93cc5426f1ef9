// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	api "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindDestinationRule = "DestinationRule"

func readDestinationRule(o *networking.DestinationRule, settings *model.Settings) (*model.DestinationPolicy, []model.Problem) {
	r := newReader(kindDestinationRule, o, settings)
	spec := &o.Spec
	host, usable := r.host("spec.host", spec.GetHost())
	if _, err := netip.ParseAddr(host); err == nil {
		r.reject("spec.host", "%q is an address, and no service has it for a name; name the service", host)
	}
	out := &model.DestinationPolicy{
		Origin: r.origin, Host: host,
		Visible: r.visibility(spec.GetExportTo(), settings.PolicyExportTo),
		Policy:  r.trafficPolicy("spec.trafficPolicy", spec.GetTrafficPolicy()),
	}
	r.failover("spec.trafficPolicy", &out.Policy.PortPolicy)
	if s := spec.GetWorkloadSelector(); s != nil {
		selector, ok := r.labels("spec.workloadSelector.matchLabels", s.GetMatchLabels())
		out.Selector, usable = selector, usable && ok
		for _, to := range spec.GetExportTo() {
			if to != "." && to != r.origin.Namespace {
				r.reject("spec.exportTo", "with a workloadSelector it is for workloads of this namespace; use \".\", or leave exportTo out")
				break
			}
		}
		if len(s.GetMatchLabels()) == 0 {
			r.tell("spec.workloadSelector", noEffect, "it selects every workload; add labels, or remove it")
		}
	}
	names := map[string]bool{}
	for i, s := range spec.GetSubsets() {
		r.addSubset(at("spec.subsets", i), s, out, names)
	}
	slices.SortFunc(out.Subsets, func(a, b model.Subset) int { return strings.Compare(a.Name, b.Name) })
	if !usable {
		return nil, r.problems
	}
	return out, r.problems
}

func (r *reader) addSubset(field string, s *api.Subset, p *model.DestinationPolicy, names map[string]bool) {
	if s == nil {
		r.refuse(field, "the subset is null; write one, or leave it out")
		return
	}
	switch {
	case !r.subset(field+".name", s.GetName()):
		return
	case names[s.GetName()]:
		r.refuse(field+".name", "there is a subset %q already, which is used; rename one of the two", s.GetName())
		return
	}
	names[s.GetName()] = true
	labels, ok := r.labels(field+".labels", s.GetLabels())
	if !ok {
		return
	}
	own := r.trafficPolicy(field+".trafficPolicy", s.GetTrafficPolicy())
	filled := fill(own, p.Policy)
	if own.Balancer != nil {
		r.failover(field+".trafficPolicy", &filled.PortPolicy)
	}
	p.Subsets = append(p.Subsets, model.Subset{Name: s.GetName(), Labels: labels, Policy: filled})
}

// failover tells when a policy orders localities and finds no endpoint ill.
func (r *reader) failover(field string, p *model.PortPolicy) {
	if p.Balancer == nil || p.Outliers != nil || r.settings.Outliers != nil {
		return
	}
	l := p.Balancer.Locality
	switch {
	case l == nil || l.Disabled || len(l.Failover)+len(l.FailoverPriority) == 0:
	case l.Zones != nil:
		r.tell(field+".outlierDetection", noEffect, "without it no endpoint is found ill, so failover and failoverPriority hold for empty regions only; add it")
	default:
		r.tell(field+".outlierDetection", noEffect, "without it no endpoint is found ill, so failover and failoverPriority change nothing; add it")
	}
}

// fill takes from the host's policy what a subset's leaves out.
func fill(own, host model.TrafficPolicy) model.TrafficPolicy {
	out := own
	out.Ports = slices.Clone(own.Ports)
	out.PortPolicy = fillPort(own.PortPolicy, host.PortPolicy)
	for _, p := range host.Ports {
		// A port's own settings stand alone; the host's for it are filled into the subset's.
		if _, there := slices.BinarySearchFunc(own.Ports, p.Port, func(o model.PortPolicy, port uint16) int { return cmp.Compare(o.Port, port) }); !there {
			filled := fillPort(own.PortPolicy, p)
			filled.Port = p.Port
			out.Ports = append(out.Ports, filled)
		}
	}
	slices.SortFunc(out.Ports, func(a, b model.PortPolicy) int { return cmp.Compare(a.Port, b.Port) })
	out.Tunnel, out.RetryBudget = cmp.Or(own.Tunnel, host.Tunnel), cmp.Or(own.RetryBudget, host.RetryBudget)
	out.ProxyProtocol = cmp.Or(own.ProxyProtocol, host.ProxyProtocol)
	return out
}

func fillPort(own, host model.PortPolicy) model.PortPolicy {
	own.Balancer, own.Connections = cmp.Or(own.Balancer, host.Balancer), cmp.Or(own.Connections, host.Connections)
	own.Outliers, own.TLS = cmp.Or(own.Outliers, host.Outliers), cmp.Or(own.TLS, host.TLS)
	return own
}

func (r *reader) trafficPolicy(field string, p *api.TrafficPolicy) model.TrafficPolicy {
	if p == nil {
		return model.TrafficPolicy{}
	}
	if isEmpty(p) {
		r.reject(field, "it has no settings; add one, such as loadBalancer, or remove it")
	}
	out := model.TrafficPolicy{
		PortPolicy: model.PortPolicy{
			Balancer:    r.balancer(field+".loadBalancer", p.GetLoadBalancer()),
			Connections: r.connections(field+".connectionPool", p.GetConnectionPool()),
			Outliers:    r.outliers(field+".outlierDetection", p.GetOutlierDetection()),
			TLS:         r.clientTLS(field+".tls", p.GetTls()),
		},
		Tunnel:      r.tunnel(field+".tunnel", p.GetTunnel()),
		RetryBudget: r.retryBudget(field+".retryBudget", p.GetRetryBudget()),
	}
	if p.GetTunnel() != nil && p.GetProxyProtocol() != nil {
		r.reject(field, "tunnel and proxyProtocol exclude each other; keep one")
	}
	if p.GetProxyProtocol() != nil {
		out.ProxyProtocol = 1
		if p.GetProxyProtocol().GetVersion() == api.TrafficPolicy_ProxyProtocol_V2 {
			out.ProxyProtocol = 2
		}
	}
	there := map[uint16]bool{}
	for i, q := range p.GetPortLevelSettings() {
		r.addPort(at(field+".portLevelSettings", i), q, &out, there)
	}
	slices.SortFunc(out.Ports, func(a, b model.PortPolicy) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// isEmpty is true for a message that says nothing.
func isEmpty(m proto.Message) bool { return proto.Size(m) == 0 }

func (r *reader) addPort(field string, p *api.TrafficPolicy_PortTrafficPolicy, to *model.TrafficPolicy, there map[uint16]bool) {
	out := model.PortPolicy{
		Port:        r.port(field+".port.number", p.GetPort().GetNumber()),
		Balancer:    r.balancer(field+".loadBalancer", p.GetLoadBalancer()),
		Connections: r.connections(field+".connectionPool", p.GetConnectionPool()),
		Outliers:    r.outliers(field+".outlierDetection", p.GetOutlierDetection()),
		TLS:         r.clientTLS(field+".tls", p.GetTls()),
	}
	switch {
	case out.Port == 0:
	case there[out.Port]:
		r.tell(field+".port.number", noEffect, "port %d is there already, whose settings are used; join the two", out.Port)
	default:
		r.failover(field, &out)
		there[out.Port] = true
		to.Ports = append(to.Ports, out)
	}
}

func (r *reader) tunnel(field string, t *api.TrafficPolicy_TunnelSettings) *model.Tunnel {
	if t == nil {
		return nil
	}
	out := &model.Tunnel{Method: t.GetProtocol(), Host: t.GetTargetHost(), Port: r.port(field+".targetPort", t.GetTargetPort())}
	switch t.GetProtocol() {
	case "":
		out.Method = "CONNECT"
	case "CONNECT", "POST":
	default:
		r.refuse(field+".protocol", "%.100q is none; use CONNECT or POST", t.GetProtocol())
		return nil
	}
	if why := notAName(t.GetTargetHost()); why != "" {
		r.refuse(field+".targetHost", "%.100q is no host: %s", t.GetTargetHost(), why)
		return nil
	}
	r.fqdn(field+".targetHost", t.GetTargetHost())
	if out.Port == 0 {
		return nil
	}
	return out
}

func (r *reader) retryBudget(field string, b *api.TrafficPolicy_RetryBudget) *model.RetryBudget {
	if b == nil {
		return nil
	}
	out := &model.RetryBudget{
		Percent: 20, MinConcurrency: b.GetMinRetryConcurrency(),
		Interval: r.orZero(field+".budgetInterval", b.GetBudgetInterval()),
	}
	if out.MinConcurrency == 0 {
		out.MinConcurrency = 3
	}
	if before := r.refusals; b.GetPercent() != nil {
		if p := r.percent(field+".percent", b.GetPercent().GetValue()); r.refusals == before {
			out.Percent = p
		}
	}
	if out.Interval != nil && *out.Interval == 0 {
		out.Interval = nil
	}
	return out
}
