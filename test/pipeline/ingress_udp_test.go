// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// TestIngressDatagrams: datagrams reach the destinations of the oldest rule by
// their weights.
func TestIngressDatagrams(t *testing.T) {
	to := func(port uint16, weight uint32) model.Destination {
		return model.Destination{Host: "web.shop.svc.cluster.local", Port: port, Weight: weight}
	}
	f := newFront(t, []model.Listener{{Name: "dns", Port: 5300, Protocol: model.ListenUDP}}, []*model.Routing{{
		Origin: model.Origin{Kind: "UDPRoute", Namespace: "shop", Name: "dns"}, Hosts: []string{"*"}, BySpecificity: true,
		Gateways: []model.GatewayRef{{Namespace: "shop", Name: "front", Listener: "dns"}},
		UDP:      []model.TCPRule{{Destinations: []model.Destination{to(53, 3), to(54, 1), to(55, 0)}}},
	}})
	m := *f.mesh
	m.Services = append([]model.ServiceState(nil), m.Services...)
	for i, st := range m.Services {
		if st.Service.Name != "web" {
			continue
		}
		svc := *st.Service
		for _, port := range []uint16{53, 54, 55} {
			svc.UDP = append(svc.UDP, model.Port{Number: port})
			m.Services[i].UDP = append(m.Services[i].UDP, &model.EndpointSet{Endpoints: []model.Endpoint{{Address: "10.244.2.1", Port: port + 1000}}})
		}
		m.Services[i].Service = &svc
	}
	f.mesh = &m
	f.push()
	for port, name := range map[string]string{"1053": "a", "1054": "b", "1055": "c"} {
		answer(f.web, "0.0.0.0:"+port, name)
	}
	got := map[string]int{}
	for range 80 {
		c := f.outside.DialUDP("10.244.2.9:5300")
		_ = c.SetDeadline(time.Now().Add(eventually))
		if _, err := c.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 16)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got[string(b[:n])]++
		_ = c.Close()
	}
	if got["a"] < 50 || got["b"] < 12 || got["c"] != 0 {
		t.Errorf("of 80 sessions came %v, by weights of 3, 1 and 0", got)
	}
}

// answer each datagram by a name.
func answer(p *rig.Pod, address, name string) {
	c := p.ListenUDP(address)
	go func() {
		b := make([]byte, 16)
		for {
			_, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(name), from)
		}
	}()
}
