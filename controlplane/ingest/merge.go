// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// heaviest is the weight that one member may claim for one port. Envoy refuses
// a cluster whose weights overflow; nobody has this many pods.
const heaviest = 1_000_000

// mostPorts that a service of another member may have.
const mostPorts = 1000

// draftImported begins a service that no Service object of this member names.
// It has a VIP whatever its kind is elsewhere: the pods' own addresses mean
// nothing on another network.
func draftImported(g *group, suffix string) *draft {
	d := &draft{service: model.Service{
		Hostname: hostname(g.key, suffix), Name: g.name, Namespace: g.namespace,
		Origin: model.Origin{Kind: kindServiceImport, Namespace: g.namespace, Name: g.name, CreatedUnix: g.exports[0].export.CreatedUnix},
	}}
	if g.address.IsValid() {
		d.service.Addresses = []netip.Addr{g.address}
	}
	return d
}

// merge adds what the other members offer, the oldest export first. The
// definition of this member's own Service holds where there is one, else that
// of the oldest export.
func (d *draft) merge(g *group, s *settings) {
	for _, o := range g.exports {
		d.mergeOffer(o, s)
	}
}

func (d *draft) mergeOffer(o offer, s *settings) {
	c := check{offer: o, key: key{d.service.Namespace, d.service.Name}}
	defer func() { d.problems = append(d.problems, c.problems...) }()
	if o.export.Kind != model.ClusterIP && o.export.Kind != model.Headless {
		c.reject("kind", Rejected, "only services with endpoints can be imported")
		return
	}
	if len(o.export.Ports) > mostPorts {
		c.reject("ports", Rejected, "%d ports are more than the %d that are accepted of one service", len(o.export.Ports), mostPorts)
		return
	}
	identities := c.identities()
	local := s.LocalHosts.Has(d.service.Hostname)
	if local {
		identities = nil // nobody of this member is sent there
	}
	used := false
	for i, p := range o.export.Ports {
		port := d.agreed(&c, i, p)
		if port == nil {
			continue
		}
		used = true
		var endpoints []model.Endpoint
		switch {
		case o.member.Cordoned, local:
		case o.member.Network == s.Network:
			endpoints = c.direct(i, p)
		default:
			endpoints = c.throughGateways(fmt.Sprintf("ports[%d].zones", i), p.Zones)
		}
		if len(identities) == 0 {
			endpoints = slices.DeleteFunc(endpoints, func(e model.Endpoint) bool { return e.MTLS })
		}
		port.add(endpoints)
		if len(endpoints) > 0 {
			c.addSubsets(port, i, p, s)
		}
	}
	if used {
		d.service.Imported = true
		d.service.Identities = append(d.service.Identities, identities...)
	}
}

// agreed is the draft's port that an exported one stands behind; nil when it
// has none, or one that means another protocol.
func (d *draft) agreed(c *check, i int, p model.ExportPort) *draftPort {
	field := fmt.Sprintf("ports[%d]", i)
	if p.Number == 0 || int(p.Protocol) > int(model.TLS) {
		c.reject(field, Rejected, "number %d with protocol %d is no port; it is left out", p.Number, p.Protocol)
		return nil
	}
	if slices.ContainsFunc(c.export.Ports[:i], func(q model.ExportPort) bool { return q.Number == p.Number }) {
		c.reject(field, Rejected, "port %d is there before and holds", p.Number)
		return nil
	}
	have := d.port(p.Number)
	switch {
	case have == nil && d.service.Local:
		c.reject(field, Conflict, "this member's own Service has no port %d, so it is left out; add the port there", p.Number)
		return nil
	case have == nil:
		name := p.Name
		if !isLabel(name) {
			name = ""
		}
		at, _ := slices.BinarySearchFunc(d.ports, p.Number, func(q draftPort, n uint16) int { return int(q.Number) - int(n) })
		d.ports = slices.Insert(d.ports, at, draftPort{Port: model.Port{Name: name, Number: p.Number, Protocol: p.Protocol}})
		return &d.ports[at]
	case !compatible(have.Protocol, p.Protocol):
		owner := "an older export"
		if d.service.Local {
			owner = "this member's own Service"
		}
		c.reject(field, Conflict, "port %d is %s here and %s in %s, which wins; the member's endpoints are left out; give both the same protocol",
			p.Number, p.Protocol, have.Protocol, owner)
		return nil
	}
	return have
}

// compatible is true when a client of one protocol can be sent to a server of
// the other; a sniffed port takes what comes.
func compatible(a, b model.Protocol) bool {
	if a == model.Auto || b == model.Auto {
		return true
	}
	return a.IsHTTP() == b.IsHTTP() && a.IsHTTP2() == b.IsHTTP2()
}

// add appends endpoints that are not there yet. A gateway that stands before
// two members carries the weight of both.
func (p *draftPort) add(endpoints []model.Endpoint) {
	if len(endpoints) == 0 {
		return
	}
	if p.at == nil {
		p.at = make(map[place]int, len(p.endpoints)+len(endpoints))
		for i, e := range p.endpoints {
			p.at[place{e.Address, e.Port}] = i
		}
	}
	for _, e := range endpoints {
		where := place{e.Address, e.Port}
		i, there := p.at[where]
		switch {
		case !there:
			p.at[where] = len(p.endpoints)
			p.endpoints = append(p.endpoints, e)
		case p.endpoints[i].Gateway && e.Gateway:
			p.endpoints[i].Weight += e.Weight
			p.endpoints[i].Unreached = p.endpoints[i].Unreached && e.Unreached
		}
	}
}

// check reads one member's export, and believes nothing that it need not say.
type check struct {
	offer
	key      key
	problems []model.Problem
}

func (c *check) reject(field, reason, format string, args ...any) {
	c.problems = append(c.problems, problemOf(kindServiceImport, c.key, c.member.field(field), reason, format, args...))
}

// identities are the SPIFFE IDs behind the service: the trust domain is the
// one that the hub vouches for, the namespace must be the service's, since a
// service has pods of its own namespace only. A wrong one is named once.
func (c *check) identities() []string {
	var all []string
	wrong := false
	for i, text := range c.export.ServiceAccounts {
		namespace, account, _ := strings.Cut(text, "/")
		if namespace == c.key.namespace && isName(account) {
			all = append(all, identity(c.member.TrustDomain, namespace, account))
		} else if !wrong {
			wrong = true
			c.reject(fmt.Sprintf("serviceAccounts[%d]", i), Rejected,
				"%q is not accepted as an identity: it must be a service account of namespace %s, written %s/name", text, c.key.namespace, c.key.namespace)
		}
	}
	if len(all) == 0 && !c.member.Cordoned && slices.ContainsFunc(c.export.Ports, hasEndpoints) {
		c.reject("serviceAccounts", Rejected, "no identity is left that could answer over mutual TLS; such endpoints are left out")
	}
	return all
}

func hasEndpoints(p model.ExportPort) bool {
	return len(p.Endpoints) > 0 || slices.ContainsFunc(p.Zones, func(z model.ZoneCount) bool { return z.Ready > 0 })
}

// direct are the endpoints of a member on this network.
func (c *check) direct(i int, p model.ExportPort) []model.Endpoint {
	var all []model.Endpoint
	wrong := false
	for j, e := range p.Endpoints {
		ip, why := remoteAddress(e.Address)
		if why == "" && e.Port == 0 {
			why = "0 is no port"
		}
		if why != "" {
			if !wrong {
				c.reject(fmt.Sprintf("ports[%d].endpoints[%d]", i, j), Rejected, "%q port %d is left out: %s", e.Address, e.Port, why)
			}
			wrong = true
			continue
		}
		out := model.Endpoint{
			Address: ip.String(), Port: e.Port, Weight: 1, MTLS: e.MTLS, Locality: e.Locality,
			Network: c.member.Network, Cluster: c.member.Cluster, Labels: e.Labels,
		}
		if isLabel(e.Hostname) {
			out.Hostname = e.Hostname
		}
		all = append(all, out)
	}
	return all
}

// throughGateways are the gateways of a member on another network. Together
// they weigh what is ready behind them.
func (c *check) throughGateways(field string, zones []model.ZoneCount) []model.Endpoint {
	ready := readyIn(zones)
	if ready > heaviest {
		c.reject(field, Rejected, "%d ready endpoints are not believed; %d are counted", ready, heaviest)
		ready = heaviest
	}
	if ready == 0 {
		return nil
	}
	n := uint64(len(c.member.Gateways))
	locality := c.locality(zones)
	var all []model.Endpoint
	for j, g := range c.member.Gateways {
		weight := ready / n
		if uint64(j) < ready%n {
			weight++
		}
		all = append(all, model.Endpoint{
			Address: g.Address, Port: g.Port, Weight: uint32(max(1, weight)), MTLS: true, Gateway: true,
			Locality: locality, Network: c.member.Network, Cluster: c.member.Cluster,
			Unreached: slices.Contains(c.member.unreached, g),
		})
	}
	return all
}

func readyIn(zones []model.ZoneCount) uint64 {
	var ready uint64
	for _, z := range zones {
		ready += uint64(z.Ready)
	}
	return ready
}

// locality of a gateway's endpoints: the member's, else where most of them are.
func (c *check) locality(zones []model.ZoneCount) model.Locality {
	if c.member.Locality != (model.Locality{}) || len(zones) == 0 {
		return c.member.Locality
	}
	most := zones[0]
	for _, z := range zones[1:] {
		if z.Ready > most.Ready {
			most = z
		}
	}
	return most.Locality
}
