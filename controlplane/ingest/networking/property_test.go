// SPDX-License-Identifier: Apache-2.0

package networking_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	client "istio.io/client-go/pkg/apis/networking/v1"
	clientalpha "istio.io/client-go/pkg/apis/networking/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/networking"
	"github.com/isthmesh/isthmesh/controlplane/model"
	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
)

// texts that fields may hold: what is usual, and what nobody should write.
var texts = []string{
	"", "a", "reviews", "*", "*.example.com", "a.example.com", "shop/gw", "mesh", "./x", "~/*", "~shop/*", "*/*", "shop/*", "10.0.0.0/8", "1.2.3.4",
	"(", "a*", "unix:///run/x", "127.0.0.1:80", "HTTP", "HTTPS", "TLS", "x=y", "a/b/c", "\x00", "ü", "spiffe://a/b", "5xx,503", "kubernetes://x",
	"region/zone/*", "https", "line\nbreak", strings.Repeat("x", 300), "-", ".", "d1", "d2",
}

// fill draws a message with any of its fields set.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if depth <= 0 && f.Message() != nil || rapid.IntRange(0, 3).Draw(t, "set") == 0 {
			continue
		}
		switch {
		case f.IsMap():
			set := m.Mutable(f).Map()
			for range rapid.IntRange(0, 2).Draw(t, "entries") {
				key := scalar(t, f.MapKey()).MapKey()
				if f.MapValue().Message() == nil {
					set.Set(key, scalar(t, f.MapValue()))
					continue
				}
				v := set.NewValue()
				fill(t, v.Message(), depth-1)
				set.Set(key, v)
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range rapid.IntRange(0, 3).Draw(t, "items") {
				if f.Message() == nil {
					list.Append(scalar(t, f))
					continue
				}
				fill(t, list.AppendMutable().Message(), depth-1)
			}
		case f.Message() != nil:
			fill(t, m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, scalar(t, f))
		}
	}
}

func scalar(t *rapid.T, f protoreflect.FieldDescriptor) protoreflect.Value {
	number := rapid.SampledFrom([]int64{0, 1, 2, 50, 80, 100, 101, 503, 65535, 65536, -1, 1 << 31, 1<<63 - 1}).Draw(t, "number")
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.SampledFrom(texts).Draw(t, "text"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(rapid.SampledFrom(texts).Draw(t, "bytes")))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.IntRange(-1, f.Enum().Values().Len()).Draw(t, "enum")))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(number))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(number)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(number))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(number))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(rapid.Float32().Draw(t, "float"))
	default:
		return protoreflect.ValueOfFloat64(rapid.Float64().Draw(t, "double"))
	}
}

// drawn objects of all kinds, sorted as an input is.
func drawn(t *rapid.T) ingest.Istio {
	var in ingest.Istio
	meta := func(i int) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: rapid.SampledFrom([]string{"istio-system", "shop"}).Draw(t, "namespace"), Name: []string{"d1", "d2", "d3"}[i],
			CreationTimestamp: metav1.Unix(int64(rapid.IntRange(0, 2).Draw(t, "age")), 0),
		}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "objects") {
		vs := &client.VirtualService{ObjectMeta: meta(i)}
		fill(t, vs.Spec.ProtoReflect(), 5)
		if rapid.Bool().Draw(t, "delegate") {
			vs.Spec.Hosts, vs.Spec.Gateways = nil, nil
		}
		in.VirtualServices = append(in.VirtualServices, vs)
		dr := &client.DestinationRule{ObjectMeta: meta(i)}
		fill(t, dr.Spec.ProtoReflect(), 5)
		in.DestinationRules = append(in.DestinationRules, dr)
		gw := &client.Gateway{ObjectMeta: meta(i)}
		fill(t, gw.Spec.ProtoReflect(), 5)
		in.Gateways = append(in.Gateways, gw)
		sc := &client.Sidecar{ObjectMeta: meta(i)}
		fill(t, sc.Spec.ProtoReflect(), 5)
		in.Sidecars = append(in.Sidecars, sc)
		ef := &clientalpha.EnvoyFilter{ObjectMeta: meta(i)}
		fill(t, ef.Spec.ProtoReflect(), 5)
		in.EnvoyFilters = append(in.EnvoyFilters, ef)
	}
	return in
}

// TestAnyInput draws objects with any content: nothing panics, nothing that is
// given is changed, the same input gives the same output, a second build shares
// everything, and the order of the objects changes nothing.
func TestAnyInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawn(t)
		before := clones(in)
		out := networking.Build(input(&in, settings()), nil)
		if !same(before, clones(in)) {
			t.Fatal("the input was changed")
		}
		again := networking.Build(input(&in, settings()), out)
		if diff := cmp.Diff(describe(out), describe(again)); diff != "" {
			t.Fatalf("built again (-first +second):\n%s", diff)
		}
		for _, p := range out.Problems {
			if p.Kind == "" || p.Name == "" || p.Field == "" || p.Reason == "" || p.Message == "" || len(p.Message) > 1000 {
				t.Fatalf("problem is %+v", p)
			}
		}
		mixed := ingest.Build(ingest.Input{Istio: shuffled(t, in), Settings: *settings()}, nil).Mesh
		whole := ingest.Build(ingest.Input{Istio: in, Settings: *settings()}, nil).Mesh
		if diff := cmp.Diff(describe(ofMesh(whole)), describe(ofMesh(mixed))); diff != "" {
			t.Fatalf("another order (-sorted +mixed):\n%s", diff)
		}
	})
}

// ofMesh is what a mesh holds of an output.
func ofMesh(m *model.Mesh) *networking.Output {
	return &networking.Output{Routings: m.Routings, Policies: m.Policies, Gateways: m.Gateways, Scopes: m.Scopes, Patches: m.Patches, Problems: m.Problems}
}

func shuffled(t *rapid.T, in ingest.Istio) ingest.Istio {
	in.VirtualServices = rapid.Permutation(in.VirtualServices).Draw(t, "virtual services")
	in.DestinationRules = rapid.Permutation(in.DestinationRules).Draw(t, "destination rules")
	in.Gateways = rapid.Permutation(in.Gateways).Draw(t, "gateways")
	in.Sidecars = rapid.Permutation(in.Sidecars).Draw(t, "sidecars")
	in.EnvoyFilters = rapid.Permutation(in.EnvoyFilters).Draw(t, "filters")
	return in
}

func clones(in ingest.Istio) []proto.Message {
	var all []proto.Message
	for _, o := range in.VirtualServices {
		all = append(all, proto.Clone(&o.Spec))
	}
	for _, o := range in.DestinationRules {
		all = append(all, proto.Clone(&o.Spec))
	}
	for _, o := range in.Gateways {
		all = append(all, proto.Clone(&o.Spec))
	}
	for _, o := range in.Sidecars {
		all = append(all, proto.Clone(&o.Spec))
	}
	for _, o := range in.EnvoyFilters {
		all = append(all, proto.Clone(&o.Spec))
	}
	return all
}

func same(a, b []proto.Message) bool {
	return slices.EqualFunc(a, b, proto.Equal)
}

// TestUnchangedPartsAreShared changes one object of many and compares pointers.
func TestUnchangedPartsAreShared(t *testing.T) {
	s := settings()
	service := func(name, to string) *client.VirtualService {
		o := &client.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		if err := o.Spec.UnmarshalJSON([]byte(`{"hosts":["` + name + `"],"http":[{"route":[{"destination":{"host":"` + to + `"}}]}]}`)); err != nil {
			t.Fatal(err)
		}
		return o
	}
	root := &client.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "root"}}
	if err := root.Spec.UnmarshalJSON([]byte(`{"hosts":["root"],"http":[{"delegate":{"name":"none"}}]}`)); err != nil {
		t.Fatal(err)
	}
	objects := []*client.VirtualService{service("a", "x"), service("b", "x"), root}
	first := networking.Build(networking.Input{VirtualServices: objects, Settings: s}, nil)
	changed := slices.Clone(objects)
	changed[1] = service("b", "y")
	second := networking.Build(networking.Input{VirtualServices: changed, Settings: s}, first)
	got := make([]bool, 3)
	for i := range got {
		got[i] = first.Routings[i] == second.Routings[i]
	}
	if diff := cmp.Diff([]bool{true, false, true}, got); diff != "" {
		t.Errorf("shared (-want +got):\n%s", diff)
	}
	third := networking.Build(networking.Input{VirtualServices: []*client.VirtualService{service("a", "x"), changed[1], root}, Settings: s}, second)
	if reflect.ValueOf(third.Routings).Pointer() != reflect.ValueOf(second.Routings).Pointer() {
		t.Error("another object that says the same gave another slice")
	}
}
