// SPDX-License-Identifier: Apache-2.0

package envoy_test

import (
	"strings"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestResourceOnTheWire: the bytes are what protobuf would have written.
func TestResourceOnTheWire(t *testing.T) {
	r, err := envoy.NewResource("a", wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	var delta discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(r.Delta(), &delta); err != nil {
		t.Fatal(err)
	}
	var whole discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(r.SotW(), &whole); err != nil {
		t.Fatal(err)
	}
	if len(delta.GetResources()) != 1 || len(whole.GetResources()) != 1 {
		t.Fatal("not one resource")
	}
	d := delta.GetResources()[0]
	if d.GetName() != "a" || d.GetVersion() != r.Version || !proto.Equal(d.GetResource(), whole.GetResources()[0]) {
		t.Errorf("%v, %v", d, whole.GetResources()[0])
	}
	m, err := r.Message()
	if err != nil || !proto.Equal(m, wrapperspb.String("x")) {
		t.Errorf("%v %v", m, err)
	}
	body, err := proto.Marshal(wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	if same := envoy.FromBytes("a", d.GetResource().GetTypeUrl(), body); same.Version != r.Version || string(same.Delta()) != string(r.Delta()) {
		t.Error("made of bytes it is something else")
	}
}

// TestNobodyIsAccepted: a service without identities accepts no certificate of
// the mesh, rather than every one.
func TestNobodyIsAccepted(t *testing.T) {
	var c tlsv3.UpstreamTlsContext
	if err := envoy.ClientTLS(model.TLSLimits{}, "sni", nil, nil).GetTypedConfig().UnmarshalTo(&c); err != nil {
		t.Fatal(err)
	}
	names := c.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames()
	if len(names) != 1 || strings.HasPrefix(names[0].GetMatcher().GetExact(), "spiffe://") || names[0].GetMatcher().GetExact() == "" {
		t.Errorf("accepts %v", names)
	}
}

func TestLayer(t *testing.T) {
	make := func(name, value string) *envoy.Resource {
		r, err := envoy.NewResource(name, wrapperspb.String(value))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := make("b", "1")
	l, dropped := envoy.NewLayer([]*envoy.Resource{first, make("a", "2"), make("b", "3")})
	if len(dropped) != 1 || dropped[0] != "b" || l.Get("b") != first || l.Get("c") != nil || len(l.Resources()) != 2 {
		t.Errorf("%v %v", dropped, l.Resources())
	}
	v := &envoy.View{Types: map[string]envoy.Layers{"t": {Shared: l}}}
	if v.Get("t", "b") != first || v.Get("u", "b") != nil || (*envoy.View)(nil).Get("t", "b") != nil {
		t.Error("the view does not find what is in it")
	}
}
