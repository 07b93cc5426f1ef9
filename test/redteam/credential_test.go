// SPDX-License-Identifier: Apache-2.0

package redteam

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/controlplane/xds"
)

// byNamespace authenticates who says in a header which namespace it is of, as
// the token or certificate of a pod there would.
type byNamespace struct{}

func (byNamespace) Authenticate(ctx context.Context) (*authn.Caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	ns := md.Get("namespace")[0]
	id := spiffeid.RequireFromString("spiffe://east.example/ns/" + ns + "/sa/gateway")
	return &authn.Caller{Identity: id, Namespace: ns, ServiceAccount: "gateway"}, nil
}

// TestGatewayCredentials replays CVE-2021-34824: two proxies of two namespaces
// ask one control plane, whose caches are warm, for each other's keys. A
// gateway's key goes to pods of its own namespace that the gateway selects.
func TestGatewayCredentials(t *testing.T) {
	pod := func(namespace, name, label string) *model.Workload {
		return &model.Workload{
			Namespace: namespace, Name: name, ServiceAccount: "gateway", Labels: map[string]string{"istio": label},
			Identity: "spiffe://east.example/ns/" + namespace + "/sa/gateway",
		}
	}
	key := func(namespace string) *model.Credential {
		return &model.Credential{
			CredentialRef: model.CredentialRef{Namespace: namespace, Name: "cert"},
			Certificate:   []byte("certificate of " + namespace), Key: model.Private([]byte("key of " + namespace)),
		}
	}
	gateway := func(namespace string, refs ...model.CredentialRef) *model.Gateway {
		g := &model.Gateway{Origin: model.Origin{Kind: "Gateway", Namespace: namespace, Name: "front"}, Selector: "istio=ingress"}
		for i, r := range refs {
			g.Listeners = append(g.Listeners, model.Listener{
				Name: fmt.Sprint("l", i), Port: 443, Protocol: model.ListenHTTPS, TLS: &model.ListenerTLS{Credentials: []model.CredentialRef{r}},
				Hosts: []model.ListenerHost{{Host: fmt.Sprintf("h%d.%s.example", i, namespace)}},
			})
		}
		return g
	}
	mesh := &model.Mesh{
		Settings:  &model.Settings{TrustDomain: "east.example", RootNamespace: "istio-system", DomainSuffix: "cluster.local"},
		Workloads: []*model.Workload{pod("bank", "app-1", "none"), pod("bank", "gateway-1", "ingress"), pod("edge", "gateway-1", "ingress")},
		Gateways: []*model.Gateway{
			// Its author would have both keys.
			gateway("bank", model.CredentialRef{Name: "cert"}, model.CredentialRef{Namespace: "edge", Name: "cert"}, model.CredentialRef{Namespace: "bank", Name: "cert"}),
		},
		Credentials: []*model.Credential{key("bank"), key("edge")},
	}
	conn := serveSnapshot(t, snapshot.Build(mesh, nil))
	for _, c := range []struct{ name, kind, namespace, pod, want string }{
		{"Edge", "router", "edge", "gateway-1", "edge"},
		{"Bank", "router", "bank", "gateway-1", "bank"},
		{"EdgeAgain", "router", "edge", "gateway-2", ""}, // its pod isn't known: it may say of itself what it likes
		{"NotSelected", "router", "bank", "app-1", ""},
		{"Sidecar", "sidecar", "bank", "gateway-1", ""},
	} {
		for _, sotw := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/sotw=%v", c.name, sotw), func(t *testing.T) {
				got := askSecrets(t, conn, c.kind, c.namespace, c.pod, sotw)
				if strings.Join(got, " ") != c.want {
					t.Errorf("got the keys of %v, want %q", got, c.want)
				}
			})
		}
	}
}

func serveSnapshot(t *testing.T, s *snapshot.Snapshot) *grpc.ClientConn {
	t.Helper()
	server := must[*xds.Server](t)(xds.New(xds.Options{Authenticator: byNamespace{}}))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { _ = server.Run(ctx) }()
	server.Push(s)
	g := grpc.NewServer(xds.ServerOptions()...)
	server.Register(g)
	l := bufconn.Listen(1 << 20)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	conn := must[*grpc.ClientConn](t)(grpc.NewClient("passthrough:///xds", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// askSecrets asks for all keys by name, then for clusters: when those have come,
// the keys have too, if they come at all. It returns whose keys came.
func askSecrets(t *testing.T, conn *grpc.ClientConn, kind, namespace, pod string, sotw bool) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "namespace", namespace), time.Minute)
	defer cancel()
	labels := must[*structpb.Struct](t)(structpb.NewStruct(map[string]any{"NAMESPACE": namespace, "LABELS": map[string]any{"istio": "ingress"}}))
	node := &corev3.Node{Id: fmt.Sprintf("%s~10.0.0.1~%s.%s~%s.svc.cluster.local", kind, pod, namespace, namespace), Metadata: labels}
	names := []string{"kubernetes://edge/cert", "kubernetes://bank/cert", "kubernetes://cert", "kubernetes://edge/cert-cacert"}
	api := discoveryv3.NewAggregatedDiscoveryServiceClient(conn)
	var found []string
	note := func(b []byte) {
		for _, ns := range []string{"bank", "edge"} {
			if strings.Contains(string(b), "key of "+ns) && !slices.Contains(found, ns) {
				found = append(found, ns)
			}
		}
	}
	if sotw {
		stream := must[discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient](t)(api.StreamAggregatedResources(ctx))
		sent(t, stream.Send(&discoveryv3.DiscoveryRequest{Node: node, TypeUrl: envoy.SecretType, ResourceNames: names}))
		sent(t, stream.Send(&discoveryv3.DiscoveryRequest{TypeUrl: envoy.ClusterType}))
		for {
			r := must[*discoveryv3.DiscoveryResponse](t)(stream.Recv())
			for _, a := range r.GetResources() {
				note(a.GetValue())
			}
			if r.GetTypeUrl() == envoy.ClusterType {
				return found
			}
		}
	}
	stream := must[discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient](t)(api.DeltaAggregatedResources(ctx))
	sent(t, stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: envoy.SecretType, ResourceNamesSubscribe: append(names, "*")}))
	sent(t, stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.ClusterType}))
	for {
		r := must[*discoveryv3.DeltaDiscoveryResponse](t)(stream.Recv())
		for _, a := range r.GetResources() {
			note(a.GetResource().GetValue())
		}
		if r.GetTypeUrl() == envoy.ClusterType {
			return found
		}
	}
}

func sent(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
