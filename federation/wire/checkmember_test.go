// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"testing"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
)

func TestCheckMember(t *testing.T) {
	good := func() *federationv1.Member {
		return &federationv1.Member{
			Name: "east", Network: "n1", TrustDomain: "east.shop.example",
			Gateways: []*federationv1.Gateway{{Address: "192.0.2.1", Port: 15443}, {Address: "gw.example.com", Port: 15443}},
		}
	}
	if f := CheckMember(good()); f != nil {
		t.Fatalf("a good member is refused: %s", f.Message)
	}
	for name, spoil := range map[string]func(*federationv1.Member){
		"Name":             func(m *federationv1.Member) { m.Name = "../east" },
		"Network":          func(m *federationv1.Member) { m.Network = "a b" },
		"TrustDomain":      func(m *federationv1.Member) { m.TrustDomain = "east/ns/x" },
		"NoTrustDomain":    func(m *federationv1.Member) { m.TrustDomain = "" },
		"LoopbackGateway":  func(m *federationv1.Member) { m.Gateways[0].Address = "127.0.0.1" },
		"MetadataGateway":  func(m *federationv1.Member) { m.Gateways[0].Address = "169.254.169.254" },
		"LocalhostGateway": func(m *federationv1.Member) { m.Gateways[0].Address = "localhost" },
		"GatewayIsNoName":  func(m *federationv1.Member) { m.Gateways[0].Address = "https://x" },
		"GatewayPort":      func(m *federationv1.Member) { m.Gateways[0].Port = 70000 },
		"Locality":         func(m *federationv1.Member) { m.Locality = &federationv1.Locality{Region: "a/b"} },
		"Epoch":            func(m *federationv1.Member) { m.Epoch = string(make([]byte, 100)) },
		"Gateways":         func(m *federationv1.Member) { m.Gateways = make([]*federationv1.Gateway, MaxGateways+1) },
	} {
		m := good()
		if spoil(m); CheckMember(m) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
