// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// Proxy is all that tells proxies of one class from others.
type Proxy struct {
	Namespace string
	Labels    model.Labels
	// Known: the API server has told of its pod. What a proxy says of itself
	// brings it no credentials.
	Known bool
	// Ports of its pod that services send to.
	Ports []model.InboundPort
	// IPv4 and IPv6 addresses that its pod has.
	IPv4, IPv6 bool
	// Topology before it.
	Topology model.Topology
}

// ProxyOf describes a proxy to this package.
func ProxyOf(s *model.Settings, p *model.Proxy) Proxy {
	out := Proxy{Namespace: p.Namespace, Labels: model.LabelsOf(p.Labels), Known: p.Workload != nil}
	for _, a := range p.Addresses {
		out.IPv4 = out.IPv4 || a.Unmap().Is4()
		out.IPv6 = out.IPv6 || !a.Unmap().Is4()
	}
	if s.Topology != nil {
		out.Topology = *s.Topology
	}
	if p.Workload != nil {
		out.Ports = p.Workload.Inbound
		if p.Workload.Topology != nil {
			out.Topology = *p.Workload.Topology
		}
	}
	return out
}

// Input is what a translation depends on.
type Input struct {
	Mesh  *model.Mesh
	Scope *scope.Index
	// Asked are clusters that filters ask which come after this translation.
	Asked []string
	Proxy Proxy
	// Cluster of a destination as this proxy sees it; port is the one that was
	// called, for destinations that name none.
	Cluster func(d model.Destination, port uint16) (c routing.Cluster, ok bool)
	// Exported are the names of clusters that AUTO_PASSTHROUGH passes on to, sorted.
	Exported []string
	// Policies that hold for the proxy.
	Policies *policy.Chosen
	// Assumed: there is no such proxy. All that is asked is what its gateways and
	// routings take from each other.
	Assumed bool
}

// Output is what the proxies of a class see.
type Output struct {
	Listeners, Routes, Secrets []*envoy.Resource
	// Clusters that are named, sorted.
	Clusters []string
	// Datagrams are the clusters of UDP, in the order of their ports. They are
	// among Clusters.
	Datagrams []Datagrams
	Problems  []model.Problem
}
