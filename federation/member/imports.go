// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/trust"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// maxServicesPerMember that are imported: above what the hub takes from one.
const maxServicesPerMember = 20_000

// maxRefusals that are told to the hub.
const maxRefusals = 100

// imports is what the hub gave this member. It is a pure value: updates go in,
// an immutable model.Imports comes out that shares what did not change.
type imports struct {
	self    model.ClusterID
	network model.NetworkID
	members map[string]*imported
	refused map[string]*federationv1.Refusal
	// services held, over all members.
	services int
}

// imported is another member. built is kept until something in it changes.
type imported struct {
	info     *federationv1.Member
	services map[wire.Key]*held
	built    *model.ImportedMember
}

// held is a service as it came, near, and without endpoints, far; the hub's
// hash is given back to it as it is.
type held struct {
	hash      []byte
	near, far *model.Export
}

func newImports(self model.ClusterID, network model.NetworkID) *imports {
	return &imports{self: self, network: network, members: map[string]*imported{}, refused: map[string]*federationv1.Refusal{}}
}

// apply takes an update in. What it can't believe it leaves as it was, and
// refuses by name; the rest counts.
func (i *imports) apply(u *federationv1.ImportUpdate) {
	for _, name := range u.GetRemovedMembers() {
		i.removeMember(name)
	}
	for _, m := range u.GetMembers() {
		i.setMember(m)
	}
	for _, ms := range u.GetServices() {
		m := i.members[ms.GetMember()]
		for _, s := range ms.GetUpdated() {
			i.setService(ms.GetMember(), m, s)
		}
		for _, key := range ms.GetRemoved() {
			i.removeService(ms.GetMember(), m, wire.KeyOf(key))
		}
	}
}

func (i *imports) removeMember(name string) {
	if m := i.members[name]; m != nil {
		i.services -= len(m.services)
		delete(i.members, name)
	}
	for k := range i.refused {
		if strings.HasPrefix(k, name+"/") {
			delete(i.refused, k)
		}
	}
}

func (i *imports) setMember(info *federationv1.Member) {
	if f := i.checkMember(info); f != nil {
		i.refuse(info.GetName(), wire.Key{}, f)
		return
	}
	delete(i.refused, refusalKey(info.GetName(), wire.Key{}))
	m := i.members[info.GetName()]
	if m == nil {
		m = &imported{services: map[wire.Key]*held{}}
		i.members[info.GetName()] = m
	}
	m.info, m.built = info, nil
}

func (i *imports) checkMember(info *federationv1.Member) *wire.Fault {
	if info.GetName() == string(i.self) {
		return &wire.Fault{Reason: wire.ReasonMalformed, Message: "this member can't import from itself"}
	}
	return wire.CheckMember(info)
}

func (i *imports) setService(exporter string, m *imported, s *federationv1.Service) {
	k := wire.KeyOf(s.GetKey())
	if f := i.checkService(exporter, m, k, s); f != nil {
		i.refuse(exporter, k, f)
		return
	}
	delete(i.refused, refusalKey(exporter, k))
	if m.services[k] == nil {
		i.services++
	}
	h := &held{hash: s.GetHash(), near: wire.ToExport(s)}
	h.far = h.near
	if bare := wire.WithoutEndpoints(s); bare != s {
		h.far = wire.ToExport(bare)
	}
	m.services[k], m.built = h, nil
}

// checkService checks again what the hub has checked: a hub that was taken
// over must not reach into the importer's own control plane.
func (i *imports) checkService(exporter string, m *imported, k wire.Key, s *federationv1.Service) *wire.Fault {
	switch {
	case m == nil:
		return &wire.Fault{Reason: wire.ReasonMalformed, Message: fmt.Sprintf("member %.63q was not introduced", exporter)}
	case k.Namespace == trust.ControlPlaneNamespace || k.Namespace == "kube-system":
		return &wire.Fault{Reason: wire.ReasonNamespace, Message: fmt.Sprintf("namespace %q is every cluster's own and is never imported", k.Namespace)}
	case m.services[k] == nil && len(m.services) >= maxServicesPerMember:
		return &wire.Fault{Reason: wire.ReasonTooLarge, Message: fmt.Sprintf("more than %d services of one member", maxServicesPerMember)}
	}
	return wire.CheckService(s)
}

func (i *imports) removeService(exporter string, m *imported, k wire.Key) {
	delete(i.refused, refusalKey(exporter, k))
	if m == nil || m.services[k] == nil {
		return
	}
	delete(m.services, k)
	m.built = nil
	i.services--
}

func refusalKey(member string, k wire.Key) string { return member + "/" + k.String() }

func (i *imports) refuse(member string, k wire.Key, f *wire.Fault) {
	key := refusalKey(member, k)
	if i.refused[key] == nil && len(i.refused) >= maxRefusals {
		return
	}
	i.refused[key] = &federationv1.Refusal{Member: member, Key: k.Message(), Reason: f.Reason, Message: f.Message}
}

// acknowledgement of everything up to nonce.
func (i *imports) acknowledgement(nonce uint64) *federationv1.Ack {
	a := &federationv1.Ack{Nonce: nonce, Services: uint32(i.services)}
	for _, k := range slices.Sorted(maps.Keys(i.refused)) {
		a.Refused = append(a.Refused, i.refused[k])
	}
	return a
}

// build makes the immutable value. Members in which nothing changed keep their
// slice of services, services that did not change their pointer.
func (i *imports) build() *model.Imports {
	out := &model.Imports{Members: make([]model.ImportedMember, 0, len(i.members))}
	for _, name := range slices.Sorted(maps.Keys(i.members)) {
		m := i.members[name]
		if m.built == nil {
			m.built = m.build(i.network)
		}
		out.Members = append(out.Members, *m.built)
	}
	return out
}

func (m *imported) build(network model.NetworkID) *model.ImportedMember {
	out := &model.ImportedMember{
		Cluster:     model.ClusterID(m.info.GetName()),
		Network:     model.NetworkID(m.info.GetNetwork()),
		TrustDomain: m.info.GetTrustDomain(),
		Locality:    wire.ToLocality(m.info.GetLocality()),
		Cordoned:    m.info.GetCordoned(),
		Services:    make([]*model.Export, 0, len(m.services)),
	}
	for _, g := range m.info.GetGateways() {
		out.Gateways = append(out.Gateways, model.GatewayAddress{Address: g.GetAddress(), Port: uint16(g.GetPort())})
	}
	// Pod addresses of another network mean nothing here, or something else.
	near := network != "" && out.Network == network
	for _, k := range sortedKeys(m.services) {
		if h := m.services[k]; near {
			out.Services = append(out.Services, h.near)
		} else {
			out.Services = append(out.Services, h.far)
		}
	}
	return out
}
