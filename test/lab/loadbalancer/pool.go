// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/isthmesh/isthmesh/test/lab/topology"
	corev1 "k8s.io/api/core/v1"
)

// pool is which addresses there are, and which of their ports are taken.
type pool struct {
	// nodes share one set of ports: a Service gets all of their addresses.
	nodes []string
	// own are the addresses that one Service each can have.
	own   []string
	taken map[string]bool
}

func newPool(nodes []string) *pool {
	p := &pool{nodes: nodes, taken: map[string]bool{}}
	for _, node := range nodes {
		address, err := netip.ParseAddr(node)
		if err != nil {
			continue
		}
		prefix, ok := topology.LoadBalancers(address)
		if !ok {
			continue
		}
		for a := prefix.Addr(); prefix.Contains(a.Next()); a = a.Next() {
			p.own = append(p.own, a.String())
		}
	}
	return p
}

// claim takes addresses for a Service and returns them; none when there are none.
// An address that it has stays, unless an older Service has it now.
func (p *pool) claim(service *corev1.Service) []string {
	if len(p.nodes) == 0 {
		return nil
	}
	asked := service.Spec.LoadBalancerIP
	switch {
	case asked != "" && slices.Contains(p.nodes, asked):
		if p.take("", service.Spec.Ports) {
			return []string{asked}
		}
		return nil
	case asked != "":
		if slices.Contains(p.own, asked) && p.takeWhole(asked) {
			return []string{asked}
		}
		return nil
	}
	for _, has := range service.Status.LoadBalancer.Ingress {
		if slices.Contains(p.own, has.IP) && p.takeWhole(has.IP) {
			return []string{has.IP}
		}
	}
	if p.take("", service.Spec.Ports) {
		return p.nodes
	}
	for _, address := range p.own {
		if p.takeWhole(address) {
			return []string{address}
		}
	}
	return nil
}

// take all ports of an address or, if one is taken, none.
func (p *pool) take(address string, ports []corev1.ServicePort) bool {
	keys := make([]string, 0, len(ports))
	for _, port := range ports {
		keys = append(keys, fmt.Sprintf("%s %s/%d", address, port.Protocol, port.Port))
	}
	if slices.ContainsFunc(keys, func(key string) bool { return p.taken[key] }) {
		return false
	}
	for _, key := range keys {
		p.taken[key] = true
	}
	return true
}

// takeWhole takes an address for one Service.
func (p *pool) takeWhole(address string) bool {
	if p.taken[address] {
		return false
	}
	p.taken[address] = true
	return true
}
