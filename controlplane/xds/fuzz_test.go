// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// FuzzDeltaRequest: whatever comes as a request, nothing panics; what the
// generated code can read, the scanner reads alike; and a session that is given
// the request ends up in step or refuses it.
func FuzzDeltaRequest(f *testing.F) {
	for _, r := range []*discoveryv3.DeltaDiscoveryRequest{
		{},
		{TypeUrl: envoy.ClusterType, Node: crowdNode(crowdProxy{"p-1", "shop", "reviews"})},
		{TypeUrl: envoy.EndpointType, ResourceNamesSubscribe: []string{"a", "b", "a"}, ResourceNamesUnsubscribe: []string{"b", "*"}},
		{TypeUrl: envoy.RouteType, ResourceNamesSubscribe: []string{"*", "80"}, InitialResourceVersions: map[string]string{"80": "x", "": ""}},
		{TypeUrl: envoy.ListenerType, ResponseNonce: "1", ErrorDetail: &statuspb.Status{Code: 3, Message: "l is bad"}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), []byte("\x1a\x80"))
	w := &worlds{resources: map[string]*envoy.Resource{}, content: map[*envoy.Resource]string{}, layers: map[string]*envoy.Layer{}}
	view := &envoy.View{Types: map[string]envoy.Layers{}}
	for k := range names {
		if k != secrets {
			view.Types[typeURLs[k]] = envoy.Layers{Shared: w.layer(k, []*envoy.Resource{w.resource(k, "a", "1"), w.resource(k, "l", "1")})}
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := &session{names: newNameTable(), limits: Limits{Subscriptions: 100}.orStandard()}
		s.aim(view, newCache())
		now := time.Unix(1e9, 0)
		for _, b := range [][]byte{first, second, first} {
			var r request
			r.decode(b)
			compareToGenerated(t, b, &r)
			if r.invalid != nil {
				return
			}
			if r.node != nil {
				_, _ = decodeNode(r.node, 1<<16)
			}
			k, ok := kindOf(r.typeURL)
			if !ok {
				continue
			}
			if _, err := s.handle(k, &r, now); err != nil {
				return
			}
			for range 100 {
				if s.next(now) == nil {
					break
				}
				now = now.Add(time.Minute)
			}
		}
		if !s.level() {
			t.Error("session does not come to rest")
		}
	})
}

func compareToGenerated(t *testing.T, b []byte, r *request) {
	var g discoveryv3.DeltaDiscoveryRequest
	if proto.Unmarshal(b, &g) != nil {
		return // the scanner may read what it doesn't need to understand
	}
	if r.invalid != nil {
		if !strings.Contains(r.invalid.Error(), "field 7") {
			t.Fatalf("generated code reads it, the scanner says: %v", r.invalid)
		}
		return
	}
	type fields struct {
		TypeURL, Nonce         string
		Subscribe, Unsubscribe []string
		Node, Rejected         bool
		Initial                map[string]string
	}
	initial := map[string]string{}
	for _, h := range r.initial {
		initial[h.name] = h.version
	}
	want := fields{
		g.GetTypeUrl(), g.GetResponseNonce(), g.GetResourceNamesSubscribe(), g.GetResourceNamesUnsubscribe(),
		g.GetNode() != nil, g.GetErrorDetail() != nil, maps.Clone(g.GetInitialResourceVersions()),
	}
	got := fields{r.typeURL, r.nonce, r.subscribe, r.unsubscribe, r.node != nil, r.rejected, initial}
	if len(want.Initial) == 0 {
		want.Initial = map[string]string{}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("-generated +scanned:\n%s\n%v", d, slices.Clip(b))
	}
}
