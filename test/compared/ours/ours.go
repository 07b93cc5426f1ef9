// SPDX-License-Identifier: Apache-2.0

// Package ours asks our own control plane the calls of package compared.
package ours

import (
	"fmt"
	"net/netip"

	nds "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/compared"
)

// Views is what our control plane tells proxies of a case.
func Views(c *compared.Case) (compared.Views, error) {
	objects, err := compared.Objects(c.Cluster)
	if err != nil {
		return nil, err
	}
	read, err := manifest.Read([]byte(objects + "\n---\n" + c.YAML))
	if err != nil {
		return nil, err
	}
	if len(read.Skipped) > 0 {
		return nil, fmt.Errorf("nothing reads %v", read.Skipped)
	}
	read.MeshConfig = c.Mesh
	read.Settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local"}
	s := snapshot.Build(ingest.Build(read.Input, nil).Mesh, nil)
	return func(namespace, name string, gateway bool) (compared.Told, error) {
		w := s.Workload(namespace, name)
		p := &model.Proxy{Type: model.Sidecar, Namespace: namespace, Name: name, Workload: w, DNSCapture: !gateway}
		if gateway {
			if w == nil {
				return compared.Told{}, fmt.Errorf("there is no pod %s/%s", namespace, name)
			}
			p.Type, p.Labels = model.Router, w.Labels
		}
		v := s.View(p)
		return compared.Told{View: v, Names: names(v)}, nil
	}, nil
}

// names that the agent of a sidecar answers, out of the table that its proxy gets.
func names(v *envoy.View) func(string) (netip.Addr, bool) {
	r := v.Get(envoy.NameTableType, "nametable")
	if r == nil {
		return nil
	}
	m, err := r.Message()
	table, ok := m.(*nds.NameTable)
	if err != nil || !ok {
		return nil
	}
	return func(host string) (netip.Addr, bool) {
		for _, ip := range table.GetTable()[host].GetIps() {
			a, err := netip.ParseAddr(ip)
			return a, err == nil
		}
		return netip.Addr{}, false
	}
}
