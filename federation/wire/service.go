// SPDX-License-Identifier: Apache-2.0

package wire

import (
	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// FromExport writes an export as a message, with its hash.
func FromExport(e *model.Export) *federationv1.Service {
	s := &federationv1.Service{
		Key:             &federationv1.ServiceKey{Namespace: e.Namespace, Name: e.Name},
		Kind:            fromKind(e.Kind),
		ServiceAccounts: e.ServiceAccounts,
		CreatedUnix:     e.CreatedUnix,
	}
	for _, p := range e.Ports {
		s.Ports = append(s.Ports, fromPort(p))
	}
	SetServiceHash(s)
	return s
}

func fromPort(p model.ExportPort) *federationv1.Port {
	out := &federationv1.Port{
		Name:     p.Name,
		Number:   uint32(p.Number),
		Protocol: federationv1.Port_Protocol(p.Protocol), // the same order, see TestProtocols
	}
	out.Zones = fromZones(p.Zones)
	for _, s := range p.Subsets {
		out.Subsets = append(out.Subsets, &federationv1.Subset{Name: s.Name, Labels: string(s.Labels), Zones: fromZones(s.Zones)})
	}
	for _, e := range p.Endpoints {
		out.Endpoints = append(out.Endpoints, &federationv1.Endpoint{
			Address:  e.Address,
			Port:     uint32(e.Port),
			Locality: FromLocality(e.Locality),
			Hostname: e.Hostname,
			Mtls:     e.MTLS,
			Labels:   string(e.Labels),
		})
	}
	return out
}

func fromZones(zones []model.ZoneCount) []*federationv1.Zone {
	var out []*federationv1.Zone
	for _, z := range zones {
		out = append(out, &federationv1.Zone{Locality: FromLocality(z.Locality), Ready: z.Ready})
	}
	return out
}

// ToExport reads a message that CheckService found nothing wrong with.
func ToExport(s *federationv1.Service) *model.Export {
	e := &model.Export{
		Namespace:       s.GetKey().GetNamespace(),
		Name:            s.GetKey().GetName(),
		Kind:            toKind(s.GetKind()),
		ServiceAccounts: s.GetServiceAccounts(),
		CreatedUnix:     s.GetCreatedUnix(),
	}
	for _, p := range s.GetPorts() {
		e.Ports = append(e.Ports, toPort(p))
	}
	return e
}

func toPort(p *federationv1.Port) model.ExportPort {
	out := model.ExportPort{
		Name:     p.GetName(),
		Number:   uint16(p.GetNumber()),
		Protocol: model.Protocol(p.GetProtocol()),
	}
	out.Zones = toZones(p.GetZones())
	for _, s := range p.GetSubsets() {
		out.Subsets = append(out.Subsets, model.ExportSubset{Name: s.GetName(), Labels: model.Labels(s.GetLabels()), Zones: toZones(s.GetZones())})
	}
	for _, e := range p.GetEndpoints() {
		out.Endpoints = append(out.Endpoints, model.ExportEndpoint{
			Address:  e.GetAddress(),
			Port:     uint16(e.GetPort()),
			Locality: ToLocality(e.GetLocality()),
			Hostname: e.GetHostname(),
			MTLS:     e.GetMtls(),
			Labels:   model.Labels(e.GetLabels()),
		})
	}
	return out
}

func toZones(zones []*federationv1.Zone) []model.ZoneCount {
	var out []model.ZoneCount
	for _, z := range zones {
		out = append(out, model.ZoneCount{Locality: ToLocality(z.GetLocality()), Ready: z.GetReady()})
	}
	return out
}

func fromKind(k model.ServiceKind) federationv1.Service_Kind {
	if k == model.Headless {
		return federationv1.Service_HEADLESS
	}
	return federationv1.Service_CLUSTER_IP
}

func toKind(k federationv1.Service_Kind) model.ServiceKind {
	if k == federationv1.Service_HEADLESS {
		return model.Headless
	}
	return model.ClusterIP
}

// FromLocality writes a locality; nil for none.
func FromLocality(l model.Locality) *federationv1.Locality {
	if l == (model.Locality{}) {
		return nil
	}
	return &federationv1.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
}

// ToLocality reads a locality.
func ToLocality(l *federationv1.Locality) model.Locality {
	return model.Locality{Region: l.GetRegion(), Zone: l.GetZone(), SubZone: l.GetSubZone()}
}

// WithoutEndpoints is the service as members of other networks get it: pod
// addresses stay at home. It returns s itself when there are none, and shares
// everything else with it; the hash is left to the caller.
func WithoutEndpoints(s *federationv1.Service) *federationv1.Service {
	none := true
	for _, p := range s.GetPorts() {
		none = none && len(p.GetEndpoints()) == 0
	}
	if none {
		return s
	}
	out := &federationv1.Service{
		Key:             s.GetKey(),
		Kind:            s.GetKind(),
		ServiceAccounts: s.GetServiceAccounts(),
		CreatedUnix:     s.GetCreatedUnix(),
	}
	for _, p := range s.GetPorts() {
		out.Ports = append(out.Ports, &federationv1.Port{
			Name: p.GetName(), Number: p.GetNumber(), Protocol: p.GetProtocol(), Zones: p.GetZones(), Subsets: p.GetSubsets(),
		})
	}
	return out
}
