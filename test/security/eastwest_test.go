// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	ingest "github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/gateways/eastwest"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/security"
)

// TestEastWest: policies at a gateway between networks judge a connection by
// its addresses and its server name; it passes TLS on and knows no identity.
func TestEastWest(t *testing.T) {
	root := rig.NewRoot(t)
	fabric := rig.New(t)
	gateway, server := fabric.Pod("istio-system", "gateway", serverAddress), fabric.Pod("shop", "server", "10.244.0.30")
	pods := map[string]*rig.Pod{near: fabric.Pod("shop", "near", near), far: fabric.Pod("shop", "far", far)}
	identity := "spiffe://east.example/ns/istio-system/sa/gateway"
	leaf := root.Leaf(identity)
	proxy := gateway.Envoy(rig.Options{Type: "router", Identity: identity, Labels: map[string]string{"istio": "eastwestgateway"}, Leaf: &leaf})
	serveTLS(t, server, root)
	a, b := envoy.SNI(80, "a.shop.svc.cluster.local"), envoy.SNI(80, "b.shop.svc.cluster.local")
	settings := &model.Settings{TrustDomain: "east.example", RootNamespace: "istio-system"}
	all := func(bool, bool) bool { return true }
	none := func(bool, bool) bool { return false }
	cases := 0
	for name, test := range map[string]struct {
		rule string
		// matches says whether the rule does, for a call to a, from near.
		matches func(toA, isNear bool) bool
	}{
		"Everything":   {`{}`, all},
		"Name":         {`{when: [{key: connection.sni, values: ["` + a + `"]}]}`, func(toA, _ bool) bool { return toA }},
		"NamePrefix":   {`{when: [{key: connection.sni, values: ["outbound_.80_._.a*"]}]}`, func(toA, _ bool) bool { return toA }},
		"NameSuffix":   {`{when: [{key: connection.sni, values: ["*.shop.svc.cluster.local"]}]}`, all},
		"NameNot":      {`{when: [{key: connection.sni, notValues: ["` + a + `"]}]}`, func(toA, _ bool) bool { return !toA }},
		"NameDotted":   {`{when: [{key: connection.sni, values: ["outbound_x80_._.a.shop.svc.cluster.local"]}]}`, none},
		"Address":      {`{from: [{source: {ipBlocks: [10.244.0.0/24]}}]}`, func(_, isNear bool) bool { return isNear }},
		"AddressNot":   {`{from: [{source: {notIpBlocks: ["` + near + `"]}}]}`, func(_, isNear bool) bool { return !isNear }},
		"Port":         {`{to: [{operation: {ports: ["15443"]}}]}`, all},
		"OtherPort":    {`{to: [{operation: {ports: ["15444"]}}]}`, none},
		"Principal":    {`{from: [{source: {principals: ["*"]}}]}`, none},
		"Namespace":    {`{from: [{source: {namespaces: [shop]}}]}`, none},
		"NameAndBlock": {`{from: [{source: {ipBlocks: [10.244.0.0/24]}}], when: [{key: connection.sni, values: ["` + a + `"]}]}`, func(toA, isNear bool) bool { return toA && isNear }},
	} {
		for _, action := range []string{"ALLOW", "DENY"} {
			t.Run(name+"/"+action, func(t *testing.T) {
				scenarios, err := security.Read(name, []byte("-- x policies --\nmetadata: {namespace: istio-system}\nspec: {action: "+action+", rules: ["+test.rule+"]}\n"), strings.NewReplacer())
				if err != nil {
					t.Fatal(err)
				}
				out := ingest.Build(ingest.Input{AuthorizationPolicies: scenarios[0].Authorizations, Settings: settings}, nil)
				chosen := policy.Choose(&model.Mesh{Settings: settings, Authorizations: out.Authorizations}, policy.Guarded{Namespace: "istio-system"}, nil)
				listener, err := eastwest.Listener(settings, []string{a, b}, chosen)
				if err != nil {
					t.Fatal(err)
				}
				if err := proxy.Try(fixed{view: &envoy.View{Types: map[string]envoy.Layers{
					envoy.ListenerType: {Own: layer(listener)}, envoy.ClusterType: {Own: layer(to(t, a), to(t, b))}, envoy.EndpointType: {}, envoy.RouteType: {},
				}}}); err != nil {
					t.Fatal(err)
				}
				for _, from := range []string{near, far} {
					for _, sni := range []string{a, b} {
						want := test.matches(sni == a, from == near) == (action == "ALLOW")
						cases++
						if got := passed(t, pods[from], root, sni); got != want {
							t.Errorf("from %s to %s: passed %v, want %v", from, sni, got, want)
						}
					}
				}
			})
		}
	}
	fmt.Printf("security: %d cases at an east-west gateway\n", cases)
}

// to is a cluster of a server name.
func to(t *testing.T, name string) *envoy.Resource {
	t.Helper()
	r, err := envoy.NewResource(name, &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Second), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: envoy.Address("10.244.0.30", 9443)}}}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serveTLS echoes over TLS.
func serveTLS(t *testing.T, p *rig.Pod, root *rig.Root) {
	t.Helper()
	config := root.Leaf("spiffe://east.example/ns/shop/sa/server").TLS(t, "")
	show := config.GetClientCertificate
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return show(nil) }
	serveEcho(tls.NewListener(p.Listen("0.0.0.0:9443"), config))
}

// passed is true when the gateway lets a TLS connection through.
func passed(t *testing.T, from *rig.Pod, root *rig.Root, sni string) bool {
	t.Helper()
	conn, err := from.Dial(serverAddress + ":15443")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	secured := tls.Client(conn, root.Leaf("spiffe://east.example/ns/shop/sa/cart").TLS(t, sni))
	if _, err := io.WriteString(secured, "ping\n"); err != nil {
		return false
	}
	buf := make([]byte, 5)
	_, err = io.ReadFull(secured, buf)
	return err == nil && string(buf) == "ping\n"
}
