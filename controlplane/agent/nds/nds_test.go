// SPDX-License-Identifier: Apache-2.0

package nds_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/agent/nds"
	ndsv1 "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

func resource(t *testing.T, name, version string, m *ndsv1.NameTable) *discoveryv3.Resource {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return &discoveryv3.Resource{Name: name, Version: version, Resource: a}
}

func info(ip string) *ndsv1.NameTable_NameInfo { return &ndsv1.NameTable_NameInfo{Ips: []string{ip}} }

func TestTables(t *testing.T) {
	table := func(names ...string) *ndsv1.NameTable {
		out := &ndsv1.NameTable{Table: map[string]*ndsv1.NameTable_NameInfo{}}
		for _, n := range names {
			out.Table[n] = info("192.0.2.1")
		}
		return out
	}
	steps := []struct {
		answer  *discoveryv3.DeltaDiscoveryResponse
		changed bool
		names   string
		known   string
		err     string
	}{
		{answer: &discoveryv3.DeltaDiscoveryResponse{Resources: []*discoveryv3.Resource{resource(t, "", "1", table("a", "b"))}}, changed: true, names: "a b", known: "=1"},
		{answer: &discoveryv3.DeltaDiscoveryResponse{Resources: []*discoveryv3.Resource{resource(t, "", "2", table("a", "b"))}}, names: "a b", known: "=2"},
		{answer: &discoveryv3.DeltaDiscoveryResponse{Resources: []*discoveryv3.Resource{resource(t, "c", "7", &ndsv1.NameTable{NameInfo: info("192.0.2.2")})}}, changed: true, names: "a b c", known: "=2 c=7"},
		{answer: &discoveryv3.DeltaDiscoveryResponse{
			RemovedResources: []string{""},
			Resources:        []*discoveryv3.Resource{{Name: "d", Version: "1", Resource: &anypb.Any{TypeUrl: nds.Type, Value: []byte{0xff}}}},
		}, names: "a b c", known: "=2 c=7", err: `resource "d"`},
		{answer: &discoveryv3.DeltaDiscoveryResponse{RemovedResources: []string{"", "never"}}, changed: true, names: "c", known: "c=7"},
		{answer: &discoveryv3.DeltaDiscoveryResponse{}, names: "c", known: "c=7"},
	}
	var tables nds.Tables
	for i, s := range steps {
		changed, err := tables.Apply(s.answer)
		if (err == nil) != (s.err == "") || err != nil && !strings.Contains(err.Error(), s.err) {
			t.Errorf("step %d: error %v, want %q", i, err, s.err)
		}
		var known []string
		for name, version := range tables.Versions() {
			known = append(known, name+"="+version)
		}
		slices.Sort(known)
		got := []any{changed, strings.Join(slices.Sorted(maps.Keys(tables.Names())), " "), strings.Join(known, " ")}
		if diff := cmp.Diff([]any{s.changed, s.names, s.known}, got); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestWire holds the field numbers that others speak.
func TestWire(t *testing.T) {
	var entry, message []byte
	for i, text := range []string{"192.0.2.1", "Kubernetes", "reviews", "shop"} {
		entry = protowire.AppendTag(entry, protowire.Number(i+1), protowire.BytesType)
		entry = protowire.AppendString(entry, text)
	}
	var pair []byte
	pair = protowire.AppendTag(pair, 1, protowire.BytesType)
	pair = protowire.AppendString(pair, "reviews.shop")
	pair = protowire.AppendTag(pair, 2, protowire.BytesType)
	pair = protowire.AppendBytes(pair, entry)
	message = protowire.AppendTag(message, 1, protowire.BytesType)
	message = protowire.AppendBytes(message, pair)

	var got ndsv1.NameTable
	if err := proto.Unmarshal(message, &got); err != nil {
		t.Fatal(err)
	}
	want := &ndsv1.NameTable{Table: map[string]*ndsv1.NameTable_NameInfo{
		"reviews.shop": {Ips: []string{"192.0.2.1"}, Registry: "Kubernetes", Shortname: "reviews", Namespace: "shop"},
	}}
	if !proto.Equal(want, &got) {
		t.Errorf("got %v, want %v", &got, want)
	}
	if name := got.ProtoReflect().Descriptor().FullName(); "type.googleapis.com/"+string(name) != nds.Type {
		t.Errorf("type %s", name)
	}
}

// TestTerminating: only the key of a pod that is deleted says so, and only when it is set.
func TestTerminating(t *testing.T) {
	layer := func(key string, value float64) *anypb.Any {
		a, err := anypb.New(&runtimev3.Runtime{Layer: &structpb.Struct{Fields: map[string]*structpb.Value{key: structpb.NewNumberValue(value)}}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	cases := map[string]struct {
		resource *anypb.Any
		want     bool
		err      bool
	}{
		"Set":       {resource: layer(envoy.TerminatingKey, 100), want: true},
		"Zero":      {resource: layer(envoy.TerminatingKey, 0)},
		"OtherKey":  {resource: layer("overload", 100)},
		"OtherType": {resource: &anypb.Any{TypeUrl: nds.Type}, err: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := nds.Terminating(&discoveryv3.DeltaDiscoveryResponse{Resources: []*discoveryv3.Resource{{Name: "x", Resource: c.resource}}})
			if got != c.want || (err != nil) != c.err {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
