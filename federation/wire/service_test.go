// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
)

// TestProtocols: the two enumerations have one order, which the conversion relies on.
func TestProtocols(t *testing.T) {
	want := map[model.Protocol]federationv1.Port_Protocol{
		model.Auto: federationv1.Port_AUTO, model.HTTP: federationv1.Port_HTTP, model.HTTP2: federationv1.Port_HTTP2,
		model.GRPC: federationv1.Port_GRPC, model.TCP: federationv1.Port_TCP, model.TLS: federationv1.Port_TLS,
	}
	if len(want) != len(federationv1.Port_Protocol_name) {
		t.Errorf("%d protocols in the message, %d here", len(federationv1.Port_Protocol_name), len(want))
	}
	for m, p := range want {
		if federationv1.Port_Protocol(m) != p {
			t.Errorf("%s is %d in the model and %d in the message", m, m, p)
		}
	}
}

// TestRoundTrip: what is written and passes the check is read back the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawExport(t)
		m := FromExport(in)
		if f := CheckService(m); f != nil {
			t.Fatalf("refused: %s", f.Message)
		}
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var back federationv1.Service
		if err := proto.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(in, ToExport(&back)); d != "" {
			t.Fatal(d)
		}
		hash := back.GetHash()
		if SetServiceHash(&back); string(hash) != string(back.GetHash()) {
			t.Fatal("the same content has two hashes")
		}
	})
}

func drawExport(t *rapid.T) *model.Export {
	label := rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?`)
	e := &model.Export{
		Namespace: label.Draw(t, "namespace"), Name: label.Draw(t, "name"),
		Kind: model.ServiceKind(rapid.IntRange(0, 1).Draw(t, "kind")), CreatedUnix: rapid.Int64Range(1, 1<<40).Draw(t, "created"),
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "accounts") {
		e.ServiceAccounts = append(e.ServiceAccounts, fmt.Sprintf("%s/a%d", e.Namespace, i))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "ports") {
		p := model.ExportPort{
			Name: fmt.Sprint("p", i), Number: uint16(1 + i*100 + rapid.IntRange(0, 50).Draw(t, "number")),
			Protocol: model.Protocol(rapid.IntRange(0, 5).Draw(t, "protocol")),
		}
		for z := range rapid.IntRange(0, 3).Draw(t, "zones") {
			p.Zones = append(p.Zones, model.ZoneCount{Locality: model.Locality{Region: "r", Zone: fmt.Sprint("z", z)}, Ready: rapid.Uint32Range(0, MaxReady).Draw(t, "ready")})
		}
		for s := range rapid.IntRange(0, 3).Draw(t, "subsets") {
			sub := model.ExportSubset{Name: fmt.Sprint("v", s), Labels: model.LabelsOf(map[string]string{"app": "a", "version": fmt.Sprint(s)})}
			if rapid.Bool().Draw(t, "somebody") {
				sub.Zones = []model.ZoneCount{{Ready: rapid.Uint32Range(0, MaxReady).Draw(t, "ready")}}
			}
			p.Subsets = append(p.Subsets, sub)
		}
		for a := range rapid.IntRange(0, 3).Draw(t, "endpoints") {
			p.Endpoints = append(p.Endpoints, model.ExportEndpoint{
				Address: fmt.Sprintf("10.0.0.%d", a+1), Port: uint16(rapid.IntRange(1, 65535).Draw(t, "port")), MTLS: rapid.Bool().Draw(t, "mtls"),
				Hostname: rapid.SampledFrom([]string{"", "db-0"}).Draw(t, "hostname"),
				Labels:   rapid.SampledFrom([]model.Labels{"", "a.example/b=", "app=a,version=1"}).Draw(t, "labels"),
			})
		}
		e.Ports = append(e.Ports, p)
	}
	return e
}

// FuzzCheckService: no message that a member can send makes the check, or what
// follows it, panic; and what it passes is read back the same.
func FuzzCheckService(f *testing.F) {
	for _, e := range []*model.Export{
		{Namespace: "shop", Name: "reviews", CreatedUnix: 1},
		{Namespace: "shop", Name: "db", Kind: model.Headless, CreatedUnix: 1, ServiceAccounts: []string{"shop/db"}, Ports: []model.ExportPort{{
			Name: "tcp", Number: 5432, Protocol: model.TCP, Zones: []model.ZoneCount{{Ready: 1}}, Endpoints: []model.ExportEndpoint{{Address: "fd00::1", Port: 5432, Labels: "a=b"}},
			Subsets: []model.ExportSubset{{Name: "v1", Labels: "a=b,c=", Zones: []model.ZoneCount{{Ready: 1}}}},
		}}},
	} {
		b, err := proto.Marshal(FromExport(e))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s federationv1.Service
		if proto.Unmarshal(b, &s) != nil || CheckService(&s) != nil {
			return
		}
		DropUnknown(&s)
		e := ToExport(&s)
		if d := cmp.Diff(e, ToExport(FromExport(e))); d != "" {
			t.Errorf("read back differently: %s", d)
		}
	})
}

// TestCheckSubsets: what is no subset is refused by name.
func TestCheckSubsets(t *testing.T) {
	of := func(subsets ...*federationv1.Subset) *federationv1.Port {
		return &federationv1.Port{Number: 80, Subsets: subsets}
	}
	many := of()
	for i := range MaxSubsets + 1 {
		many.Subsets = append(many.Subsets, &federationv1.Subset{Name: fmt.Sprintf("s%03d", i), Labels: "a=b"})
	}
	labels := map[string]string{}
	for i := range MaxLabels + 1 {
		labels[fmt.Sprintf("k%03d", i)] = ""
	}
	for name, c := range map[string]struct {
		port   *federationv1.Port
		reason string
	}{
		"Two":           {of(&federationv1.Subset{Name: "v1", Labels: "a=b"}, &federationv1.Subset{Name: "v2", Labels: "a.example/b=c,d="}), ""},
		"NoName":        {of(&federationv1.Subset{Labels: "a=b"}), ReasonMalformed},
		"OtherName":     {of(&federationv1.Subset{Name: "v1_.other", Labels: "a=b"}), ""},
		"Wildcard":      {of(&federationv1.Subset{Name: "*", Labels: "a=b"}), ReasonMalformed},
		"LongName":      {of(&federationv1.Subset{Name: strings.Repeat("v", 64), Labels: "a=b"}), ReasonMalformed},
		"NoLabels":      {of(&federationv1.Subset{Name: "v1"}), ReasonMalformed},
		"NoKey":         {of(&federationv1.Subset{Name: "v1", Labels: ",a=b"}), ReasonMalformed},
		"BadKey":        {of(&federationv1.Subset{Name: "v1", Labels: "a b=c"}), ReasonMalformed},
		"BadValue":      {of(&federationv1.Subset{Name: "v1", Labels: "a=b=c"}), ReasonMalformed},
		"Unsorted":      {of(&federationv1.Subset{Name: "v1", Labels: "b=c,a=b"}), ReasonMalformed},
		"ManyLabels":    {of(&federationv1.Subset{Name: "v1", Labels: string(model.LabelsOf(labels))}), ReasonTooLarge},
		"Doubled":       {of(&federationv1.Subset{Name: "v1", Labels: "a=b"}, &federationv1.Subset{Name: "v1", Labels: "a=c"}), ReasonMalformed},
		"Many":          {many, ReasonTooLarge},
		"ManyReady":     {of(&federationv1.Subset{Name: "v1", Labels: "a=b", Zones: []*federationv1.Zone{{Ready: MaxReady + 1}}}), ReasonTooLarge},
		"EndpointLabel": {&federationv1.Port{Number: 80, Endpoints: []*federationv1.Endpoint{{Address: "10.0.0.1", Port: 80, Labels: "a"}, {Address: "10.0.0.2", Port: 80, Labels: "=b"}}}, ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			f := CheckService(&federationv1.Service{Key: &federationv1.ServiceKey{Namespace: "shop", Name: "a"}, CreatedUnix: 1, Ports: []*federationv1.Port{c.port}})
			if f == nil && c.reason != "" || f != nil && f.Reason != c.reason {
				t.Errorf("got %v, want reason %q", f, c.reason)
			}
		})
	}
}

// TestDropUnknown: a field of another version is not relayed, however deep.
func TestDropUnknown(t *testing.T) {
	s := FromExport(&model.Export{Namespace: "shop", Name: "a", CreatedUnix: 1, Ports: []model.ExportPort{{Number: 80, Zones: []model.ZoneCount{{Ready: 1}}}}})
	clean := proto.Clone(s)
	secret := []byte{0xfa, 0x3f, 0x03, 'a', 'b', 'c'} // field 1023
	s.ProtoReflect().SetUnknown(secret)
	s.Ports[0].Zones[0].ProtoReflect().SetUnknown(secret)
	DropUnknown(s)
	if !proto.Equal(s, clean) {
		t.Errorf("unknown fields are left: %v", s)
	}
}
