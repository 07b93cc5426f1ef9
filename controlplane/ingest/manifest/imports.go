// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// importsDocument is model.Imports as people write it.
type importsDocument struct {
	Kind    string   `json:"kind"`
	Members []member `json:"members"`
}

type member struct {
	Cluster     model.ClusterID        `json:"cluster"`
	Network     model.NetworkID        `json:"network"`
	TrustDomain string                 `json:"trustDomain"`
	Locality    model.Locality         `json:"locality"`
	Gateways    []model.GatewayAddress `json:"gateways"`
	Cordoned    bool                   `json:"cordoned"`
	Services    []service              `json:"services"`
}

type service struct {
	Namespace       string   `json:"namespace"`
	Name            string   `json:"name"`
	Kind            string   `json:"kind"`
	Ports           []port   `json:"ports"`
	ServiceAccounts []string `json:"serviceAccounts"`
	CreatedUnix     int64    `json:"createdUnix"`
}

type port struct {
	Name      string                 `json:"name"`
	Number    uint16                 `json:"number"`
	Protocol  string                 `json:"protocol"`
	Zones     []zone                 `json:"zones"`
	Subsets   []subset               `json:"subsets"`
	Endpoints []model.ExportEndpoint `json:"endpoints"`
}

type subset struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Zones  []zone            `json:"zones"`
}

type zone struct {
	model.Locality
	Ready uint32 `json:"ready"`
}

func (m member) model() (model.ImportedMember, error) {
	out := model.ImportedMember{
		Cluster: m.Cluster, Network: m.Network, TrustDomain: m.TrustDomain,
		Locality: m.Locality, Gateways: m.Gateways, Cordoned: m.Cordoned,
	}
	for _, s := range m.Services {
		export, err := s.model()
		if err != nil {
			return out, fmt.Errorf("service %s/%s: %w", s.Namespace, s.Name, err)
		}
		out.Services = append(out.Services, export)
	}
	return out, nil
}

func (s service) model() (*model.Export, error) {
	out := &model.Export{
		Namespace: s.Namespace, Name: s.Name,
		ServiceAccounts: s.ServiceAccounts, CreatedUnix: s.CreatedUnix,
	}
	switch s.Kind {
	case "", "ClusterIP":
	case "Headless":
		out.Kind = model.Headless
	case "ExternalName":
		out.Kind = model.ExternalName
	default:
		return nil, fmt.Errorf("kind %q is unknown", s.Kind)
	}
	for _, p := range s.Ports {
		protocol, ok := protocolNamed(p.Protocol)
		if !ok {
			return nil, fmt.Errorf("port %d: protocol %q is unknown", p.Number, p.Protocol)
		}
		q := model.ExportPort{Name: p.Name, Number: p.Number, Protocol: protocol, Endpoints: p.Endpoints}
		q.Zones = counts(p.Zones)
		for _, s := range p.Subsets {
			q.Subsets = append(q.Subsets, model.ExportSubset{Name: s.Name, Labels: model.LabelsOf(s.Labels), Zones: counts(s.Zones)})
		}
		out.Ports = append(out.Ports, q)
	}
	return out, nil
}

func counts(zones []zone) []model.ZoneCount {
	var out []model.ZoneCount
	for _, z := range zones {
		out = append(out, model.ZoneCount{Locality: z.Locality, Ready: z.Ready})
	}
	return out
}

// protocolNamed is the inverse of Protocol.String; no name is Auto.
func protocolNamed(name string) (model.Protocol, bool) {
	for p := model.Auto; p <= model.TLS; p++ {
		if p.String() == name || name == "" {
			return p, true
		}
	}
	return model.Auto, false
}
