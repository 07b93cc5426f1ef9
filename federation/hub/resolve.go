// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// Reasons of the multi-cluster services API for a conflict; several are joined by commas.
const (
	ReasonTypeConflict = "TypeConflict"
	ReasonPortConflict = "PortConflict"
)

// shownConflicts of one service are named in full; the first few tell enough.
const shownConflicts = 3

// resolve settles who exports a key, and how importers see each of them. As in
// the multi-cluster services API all exporters stand for one service: its ports
// are the union of theirs, and where two disagree the oldest export defines it.
// The others' endpoints still count where the port's number agrees.
func (s *State) resolve(k wire.Key) {
	var claims []*member
	for name := range s.exporters[k] {
		m := s.members[name]
		if !m.Exports.Allow(name, k.Namespace) {
			s.relayNothing(m, k, forbidden(m, k))
			continue
		}
		claims = append(claims, m)
	}
	slices.SortFunc(claims, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.exports[k].GetCreatedUnix(), b.exports[k].GetCreatedUnix()), strings.Compare(a.Name, b.Name))
	})
	var d definition
	for _, m := range claims {
		svc, conflict := d.fit(m, m.exports[k])
		s.relay(m, k, svc)
		s.refuse(m, k, conflict)
	}
}

func forbidden(m *member, k wire.Key) *Refusal {
	mend := fmt.Sprintf("add a rule that names it to spec.exports of MeshFederation %s", m.Federation)
	if neverExported(k.Namespace) {
		mend = "it is the cluster's own; delete the ServiceExport"
	}
	return &Refusal{
		Member: m.Name, Namespace: k.Namespace, Name: k.Name, Reason: wire.ReasonNamespace,
		Message: fmt.Sprintf("member %q may not export namespace %q: %s", m.Name, k.Namespace, mend),
	}
}

// definition is what older exports have settled of a service.
type definition struct {
	owner *member
	kind  federationv1.Service_Kind
	ports []definedPort
}

type definedPort struct {
	*federationv1.Port
	owner string
}

// fit returns the service as its importers get it, and what of it had to give way.
func (d *definition) fit(m *member, in *federationv1.Service) (*federationv1.Service, *Refusal) {
	out := &federationv1.Service{
		Key: in.GetKey(), Kind: in.GetKind(), ServiceAccounts: in.GetServiceAccounts(), CreatedUnix: in.GetCreatedUnix(),
	}
	var reasons, messages []string
	if d.owner == nil {
		d.owner, d.kind = m, in.GetKind()
	} else if d.kind != in.GetKind() {
		out.Kind = d.kind
		reasons = append(reasons, ReasonTypeConflict)
		messages = append(messages, fmt.Sprintf("the service is %s in member %q, whose export is older, and %s here", kindName(d.kind), d.owner.Name, kindName(in.GetKind())))
	}
	settled := len(d.ports)
	for _, p := range in.GetPorts() {
		fitted, message := d.fitPort(m.Name, settled, p)
		if fitted != nil {
			out.Ports = append(out.Ports, fitted)
		}
		if message != "" {
			reasons = append(reasons, ReasonPortConflict)
			messages = append(messages, message)
		}
	}
	if len(reasons) == 0 {
		return out, nil
	}
	slices.Sort(reasons)
	return out, &Refusal{
		Member: m.Name, Namespace: in.GetKey().GetNamespace(), Name: in.GetKey().GetName(),
		Reason:  strings.Join(slices.Compact(reasons), ","),
		Message: strings.Join(messages[:min(len(messages), shownConflicts)], "; ") + ": make the services alike or withdraw one export",
	}
}

// fitPort looks among the ports that older exports settled, which are the first of d.ports.
func (d *definition) fitPort(member string, settled int, p *federationv1.Port) (*federationv1.Port, string) {
	for _, o := range d.ports[:settled] {
		if o.GetNumber() == p.GetNumber() {
			if o.GetName() == p.GetName() && o.GetProtocol() == p.GetProtocol() {
				return p, ""
			}
			return &federationv1.Port{
					Name: o.GetName(), Number: o.GetNumber(), Protocol: o.GetProtocol(), Zones: p.GetZones(), Endpoints: p.GetEndpoints(), Subsets: p.GetSubsets(),
				}, fmt.Sprintf("port %d is %q (%s) in member %q, whose export is older, and %q (%s) here",
					p.GetNumber(), o.GetName(), o.GetProtocol(), o.owner, p.GetName(), p.GetProtocol())
		}
	}
	for _, o := range d.ports[:settled] {
		if o.GetName() == p.GetName() {
			return nil, fmt.Sprintf("port %q is %d in member %q, whose export is older, and %d here, where it can't be reached",
				p.GetName(), o.GetNumber(), o.owner, p.GetNumber())
		}
	}
	d.ports = append(d.ports, definedPort{p, member})
	return p, ""
}

func kindName(k federationv1.Service_Kind) string {
	if k == federationv1.Service_HEADLESS {
		return "headless"
	}
	return "of type ClusterIP"
}

// relay gives importers the service, each in the variant for its network, where that changed.
func (s *State) relay(m *member, k wire.Key, svc *federationv1.Service) {
	was := m.relayed[k]
	wire.SetServiceHash(svc)
	if was.near != nil && bytes.Equal(was.near.GetHash(), svc.GetHash()) {
		return
	}
	is := relay{near: svc, far: wire.WithoutEndpoints(svc)}
	if is.far != is.near {
		wire.SetServiceHash(is.far)
	}
	m.relayed[k] = is
	if was.near == nil {
		s.report(m.Name)
		s.report("")
	}
	for st := range s.others(m.Name) {
		old, now := was.to(m, st.member), is.to(m, st.member)
		if old != nil && bytes.Equal(old.GetHash(), now.GetHash()) {
			continue
		}
		if h, ok := st.unverified[m.Name][k]; ok && bytes.Equal(h, now.GetHash()) {
			continue // it holds this from before the hub started
		}
		delete(st.unverified[m.Name], k)
		st.lack(m.Name, k)
		s.wake(st)
	}
}

// relayNothing takes the service away from importers, and says why when that
// is not the exporter's own wish.
func (s *State) relayNothing(m *member, k wire.Key, why *Refusal) {
	s.refuse(m, k, why)
	_, relayed := m.relayed[k]
	if relayed {
		delete(m.relayed, k)
		s.report(m.Name)
		s.report("")
	}
	for st := range s.others(m.Name) {
		_, unverified := st.unverified[m.Name][k]
		if relayed || unverified {
			delete(st.unverified[m.Name], k)
			st.lack(m.Name, k)
			s.wake(st)
		}
	}
}
