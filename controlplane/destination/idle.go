// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Idle are the fields of a policy that change nothing, whoever calls: uses are
// those of all ports of the services that the policy is for. Of a policy for no
// service nothing is said, since the service may come yet.
func Idle(p *model.DestinationPolicy, services int, uses []Use) []model.Problem {
	if p.Kind != "DestinationRule" || services == 0 {
		return nil
	}
	out := &idle{policy: p, uses: uses}
	if len(uses) == 0 {
		return out.nowhere()
	}
	out.whole("spec.trafficPolicy", &p.Policy, &model.TrafficPolicy{})
	for i := range p.Subsets {
		s := &p.Subsets[i]
		out.whole("spec.subsets["+s.Name+"].trafficPolicy", &s.Policy, &p.Policy)
	}
	return out.found
}

// idle collects what is said of one policy.
type idle struct {
	policy *model.DestinationPolicy
	uses   []Use
	found  []model.Problem
}

func (d *idle) tell(field, message string) {
	d.found = append(d.found, d.policy.Problem(field, "NoEffect", message))
}

// nowhere is what is said of a policy on a host that proxies pass by.
func (d *idle) nowhere() []model.Problem {
	const why = "the host has no port of TCP, and proxies pass by what is sent by UDP, so nothing of it holds: add the port, or remove it"
	if len(d.policy.Subsets) > 0 {
		d.tell("spec.subsets", why)
	}
	d.tell("spec.trafficPolicy", why)
	return d.found
}

// whole policy; what it shares with the host's has been told there.
func (d *idle) whole(field string, p, host *model.TrafficPolicy) {
	rest := slices.DeleteFunc(slices.Clone(d.uses), func(u Use) bool { return p.On(u.Port) != &p.PortPolicy })
	if len(rest) > 0 {
		d.part(field, &p.PortPolicy, &host.PortPolicy, summed(rest))
	}
	for i := range p.Ports {
		port := &p.Ports[i]
		on := slices.DeleteFunc(slices.Clone(d.uses), func(u Use) bool { return u.Port != port.Port })
		at, hosts := fmt.Sprintf("%s.portLevelSettings[%d]", field, port.Port), host.On(port.Port)
		switch {
		case len(on) > 0:
			d.part(at, port, hosts, summed(on))
		case hosts.Port == 0:
			d.tell(at, fmt.Sprintf("the host has no TCP port %d, so these settings hold nowhere: correct the number, add the port, or remove them", port.Port))
		}
	}
	all := summed(d.uses)
	if p.RetryBudget != nil && p.RetryBudget != host.RetryBudget && !all.requests {
		d.tell(field+".retryBudget", "only requests are tried again, and none are sent here: "+mend)
	}
	if p.Tunnel != nil && p.Tunnel != host.Tunnel && !all.bytes {
		d.tell(field+".tunnel", "only connections of TCP and TLS go through the tunnel, and to an HTTP port none are sent on: remove it, or name the port tcp- or tls-")
	}
}

const mend = "remove it, name the port http- if HTTP is what it speaks, or route requests there"

// sum of what is sent to some ports.
type sum struct{ requests, bytes, http1, http2, chosen bool }

func summed(uses []Use) sum {
	var out sum
	for _, u := range uses {
		out.requests, out.bytes = out.requests || u.Requests, out.bytes || u.Bytes
		out.http1, out.http2 = out.http1 || u.HTTP1, out.http2 || u.HTTP2
		out.chosen = out.chosen || u.Chosen
	}
	return out
}

// part of a policy that is about ports to which this is sent.
func (d *idle) part(field string, p, host *model.PortPolicy, to sum) {
	if p.Balancer != host.Balancer {
		d.balancer(field+".loadBalancer", p.Balancer, to)
	}
	if p.Connections != host.Connections {
		d.connections(field+".connectionPool.http", p.Connections, to)
	}
	if p.Outliers != host.Outliers && p.Outliers != nil && len(p.Outliers.ErrorStatuses) > 0 && !to.requests {
		d.tell(field+".outlierDetection.outlierDetectionHttpErrorCodes", "only requests are answered with a status, and none are sent here: "+mend)
	}
}

// balancer that has nothing to choose from, or whose key connections don't have.
func (d *idle) balancer(field string, b *model.Balancer, to sum) {
	switch {
	case b == nil:
	case !to.chosen:
		if *b != (model.Balancer{Kind: model.Passthrough}) {
			d.tell(field, "the proxy doesn't choose among endpoints here: with resolution NONE calls go to the address that was called, "+
				"with DYNAMIC_DNS to the host that they name; remove it, or use resolution STATIC or DNS")
		}
	case b.Hash != nil && !b.Hash.SourceIP && !to.requests:
		key := "httpHeaderName"
		switch {
		case b.Hash.Cookie != nil:
			key = "httpCookie"
		case b.Hash.Query != "":
			key = "httpQueryParameterName"
		}
		d.tell(field+".consistentHash."+key, "only requests have it, and none are sent here, so each connection goes to any endpoint: use useSourceIp, "+
			"name the port http- if HTTP is what it speaks, or route requests there")
	}
}

// connections settings that only requests, or only HTTP/2, know.
func (d *idle) connections(field string, c *model.ConnectionPool, to sum) {
	if c == nil {
		return
	}
	upgrades := c.HTTP2 != nil && *c.HTTP2
	http2 := to.http2 || upgrades || c.UseClientProtocol
	for _, f := range []struct {
		name string
		set  bool
		// only: what knows the setting; empty for all requests.
		only string
	}{
		{"http2MaxRequests", c.MaxRequests > 0, ""},
		{"maxRequestsPerConnection", c.MaxRequestsPerConn > 0, ""},
		{"maxRetries", c.MaxRetries != nil, ""},
		{"idleTimeout", c.IdleTimeout != nil, ""},
		{"maxConcurrentStreams", c.MaxConcurrentStreams > 0, "HTTP/2"},
		{"http2KeepAlive", c.HTTP2Ping != nil, "HTTP/2"},
		{"h2UpgradePolicy", c.HTTP2 != nil, ""},
		{"useClientProtocol", c.UseClientProtocol, ""},
	} {
		switch {
		case !f.set:
		case !to.requests:
			d.tell(field+"."+f.name, cmp.Or(map[string]string{
				"idleTimeout": "it is about requests, and none are sent here: use tcp.idleTimeout for connections, or name the port http- if HTTP is what it speaks",
			}[f.name], "it is about requests, and none are sent here: "+mend))
		case f.only != "" && !http2:
			d.tell(field+"."+f.name, "only HTTP/2 has it, and HTTP/1.1 is spoken here: add h2UpgradePolicy UPGRADE, or name the port http2- or grpc- if that is what it speaks")
		case f.name == "h2UpgradePolicy" && !to.http1:
			d.tell(field+"."+f.name, "HTTP/2 is spoken here anyway, as the port's protocol says: remove it")
		}
	}
}
