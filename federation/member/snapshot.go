// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// hellos tells the hub what is held, in as many messages as that takes.
func (i *imports) hellos(version, instance string) []*federationv1.Hello {
	out := []*federationv1.Hello{{Version: version, Instance: instance}}
	room := wire.MaxMessageBytes / 2
	for _, name := range slices.Sorted(maps.Keys(i.members)) {
		m := i.members[name]
		h := &federationv1.HeldMember{Member: name, Hash: m.info.GetHash(), Epoch: m.info.GetEpoch()}
		for _, k := range sortedKeys(m.services) {
			h.Services = append(h.Services, &federationv1.HeldService{Key: k.Message(), Hash: m.services[k].hash})
		}
		n := proto.Size(h)
		if last := out[len(out)-1]; n > room && len(last.Held) > 0 {
			last.More = true
			out = append(out, &federationv1.Hello{})
			room = wire.MaxMessageBytes / 2
		}
		last := out[len(out)-1]
		last.Held = append(last.Held, h)
		room -= n
	}
	return out
}

// snapshot is what the Store keeps: everything that is held, with the hub's
// hashes, so that a restarted control plane is sent nothing that it has.
func (i *imports) snapshot(federation string) ([]byte, error) {
	out := &federationv1.Snapshot{Federation: federation, Member: string(i.self)}
	for _, name := range slices.Sorted(maps.Keys(i.members)) {
		m := i.members[name]
		out.Members = append(out.Members, m.info)
		services := &federationv1.MemberServices{Member: name}
		for _, k := range sortedKeys(m.services) {
			s := wire.FromExport(m.services[k].near)
			s.Hash = m.services[k].hash
			services.Updated = append(services.Updated, s)
		}
		out.Services = append(out.Services, services)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(out)
}

// restore reads a snapshot, by the same checks as what comes from the hub.
func (i *imports) restore(federation string, b []byte) error {
	var in federationv1.Snapshot
	if err := proto.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("read the imports that were kept: %w", err)
	}
	if in.GetFederation() != federation || in.GetMember() != string(i.self) {
		return fmt.Errorf("the imports that were kept are those of member %q in %q, not of member %q in %q",
			in.GetMember(), in.GetFederation(), i.self, federation)
	}
	i.apply(&federationv1.ImportUpdate{Members: in.GetMembers(), Services: in.GetServices()})
	return nil
}
