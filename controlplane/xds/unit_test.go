// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

func TestMentions(t *testing.T) {
	for name, c := range map[string]struct {
		text, name string
		want       bool
	}{
		"Alone":         {"0.0.0.0_80", "0.0.0.0_80", true},
		"InSentence":    {"Error adding/updating listener(s) 0.0.0.0_80: bad", "0.0.0.0_80", true},
		"LongerName":    {"Error adding/updating listener(s) 0.0.0.0_8080: bad", "0.0.0.0_80", false},
		"LongerInFront": {"listener 10.0.0.0_80 is bad", "0.0.0.0_80", false},
		"BothForms":     {"0.0.0.0_8080 and 0.0.0.0_80", "0.0.0.0_80", true},
		"Cluster":       {"outbound|80||a.shop.svc.cluster.local: no", "outbound|80||a.shop.svc.cluster.local", true},
		"OtherSubset":   {"outbound|80|v1|a.shop: no", "80|v1|a.shop", false},
		"Empty":         {"anything", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mentions(c.text, c.name); got != c.want {
				t.Errorf("mentions(%q, %q) = %v", c.text, c.name, got)
			}
		})
	}
}

func TestNameSets(t *testing.T) {
	table := newNameTable()
	ab := table.change(nil, []string{"a", "b"}, nil)
	for name, c := range map[string]struct {
		from        *nameSet
		add, remove []string
		want        []string
	}{
		"OtherOrder":       {nil, []string{"b", "a"}, nil, []string{"a", "b"}},
		"Twice":            {nil, []string{"a", "b", "a"}, nil, []string{"a", "b"}},
		"StepByStep":       {table.change(nil, []string{"b"}, nil), []string{"a"}, nil, []string{"a", "b"}},
		"NothingNew":       {ab, []string{"a"}, []string{"c"}, []string{"a", "b"}},
		"Removed":          {table.change(ab, []string{"c"}, nil), nil, []string{"c"}, []string{"a", "b"}},
		"RemovedTwice":     {table.change(ab, []string{"c"}, nil), nil, []string{"c", "c"}, []string{"a", "b"}},
		"AddedAndRemoved":  {ab, []string{"c"}, []string{"c"}, []string{"a", "b"}},
		"KeptAndRemoved":   {ab, []string{"b"}, []string{"b"}, []string{"a"}},
		"Emptied":          {ab, nil, []string{"a", "b"}, nil},
		"ReplacedEntirely": {ab, []string{"c"}, []string{"a", "b"}, []string{"c"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := table.change(c.from, c.add, c.remove)
			var members []string
			if got != nil {
				for n := range got.members {
					members = append(members, n)
				}
			}
			slices.Sort(members)
			if d := cmp.Diff(c.want, members); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if slices.Equal(members, []string{"a", "b"}) && got != ab {
				t.Error("the set is not shared")
			}
		})
	}
}

// TestCodecLeavesOthersAlone: another service on the same server has messages of
// its own.
func TestCodecLeavesOthersAlone(t *testing.T) {
	c := newCodec()
	want := &corev3.Locality{Region: "eu"}
	b, err := c.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got corev3.Locality
	if err := c.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(want, &got) {
		t.Errorf("got %v", &got)
	}
	if c.Name() != "proto" {
		t.Errorf("name is %q", c.Name())
	}
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer("\xff")}, &got); err == nil {
		t.Error("garbage was taken for a message")
	}
}

func TestEndpointName(t *testing.T) {
	eds := &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
	for name, c := range map[string]struct {
		cluster *clusterv3.Cluster
		want    string
	}{
		"ByName":        {&clusterv3.Cluster{Name: "a", ClusterDiscoveryType: eds}, "a"},
		"ByServiceName": {&clusterv3.Cluster{Name: "a", ClusterDiscoveryType: eds, EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{ServiceName: "b"}}, "b"},
		"Static":        {&clusterv3.Cluster{Name: "a"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := envoy.NewResource(c.cluster.GetName(), c.cluster)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := endpointName(r); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDecodeNode(t *testing.T) {
	meta := func(m map[string]any) *structpb.Struct {
		s, err := structpb.NewStruct(m)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	id := "sidecar~10.0.0.1~a.b.c.shop~shop.svc.cluster.local"
	for name, c := range map[string]struct {
		node *corev3.Node
		want string // name namespace cluster network addresses dns
		err  string
	}{
		"Istio": {node: &corev3.Node{Id: id, Metadata: meta(map[string]any{
			"CLUSTER_ID": "west", "NETWORK": "n1", "INSTANCE_IPS": "10.0.0.1, fd00::1,nonsense", "DNS_CAPTURE": "true",
		})}, want: "a.b.c shop west n1 [10.0.0.1 fd00::1] true"},
		"WithoutMetadata": {node: &corev3.Node{Id: id}, want: "a.b.c shop   [10.0.0.1] false"},
		"OtherTypes":      {node: &corev3.Node{Id: id, Metadata: meta(map[string]any{"CLUSTER_ID": 3, "LABELS": "x", "DNS_CAPTURE": true})}, want: "a.b.c shop   [10.0.0.1] true"},
		"TooMuch":         {node: &corev3.Node{Id: id, Metadata: meta(map[string]any{"X": strings.Repeat("x", 1000)})}, err: "node: field 3: metadata has 1"},
		"NoID":            {node: &corev3.Node{}, err: `node id "" is not of the form`},
		"NoPod":           {node: &corev3.Node{Id: "router~1.2.3.4~.shop~x"}, err: `".shop" is not of the form pod.namespace`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := proto.Marshal(c.node)
			if err != nil {
				t.Fatal(err)
			}
			n, err := decodeNode(b, 1000)
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error is %v, want %q", err, c.err)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			var addresses []string
			for _, a := range n.addresses {
				addresses = append(addresses, a.String())
			}
			got := strings.Join([]string{
				n.name, n.namespace, string(n.metadata.cluster), string(n.metadata.network),
				"[" + strings.Join(addresses, " ") + "]", map[bool]string{true: "true", false: "false"}[n.metadata.dnsCapture],
			}, " ")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if n.kind != model.Sidecar {
				t.Errorf("type is %q", n.kind)
			}
		})
	}
}
