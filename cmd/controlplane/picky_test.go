// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// refused is the word that a picky proxy takes nothing with.
const refused = "only-envoy-refuses-this"

// picky is a proxy that refuses what Envoy doesn't: every resource with
// a word in it, as another version of Envoy might. It has what it took last.
type picky struct {
	mu sync.Mutex
	// has are the resources that it took, and their versions, by type and name.
	has, versions map[string]map[string]string
	nacks         int
	ended         error
}

// picky sidecar of pod "client" of a namespace; it goes on with what
// another one took, which may be nil.
func (cp *controlPlane) picky(t *testing.T, namespace string, before *picky) *picky {
	t.Helper()
	return cp.pickyOf(t, "sidecar", "client", namespace, before)
}

// pickyOf a pod whose service account is "client".
func (cp *controlPlane) pickyOf(t *testing.T, kind, name, namespace string, before *picky) *picky {
	t.Helper()
	stream, end := cp.ads(t, namespace, "client")
	s := &picky{has: map[string]map[string]string{}, versions: map[string]map[string]string{}}
	meta, err := structpb.NewStruct(map[string]any{"NAMESPACE": namespace, "SERVICE_ACCOUNT": "client", "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.31.0"})
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{Id: fmt.Sprintf("%[1]s~10.1.1.9~%[2]s.%[3]s~%[3]s.svc.cluster.local", kind, name, namespace), Metadata: meta}
	for _, url := range []string{envoy.ClusterType, envoy.EndpointType, envoy.ListenerType, envoy.RouteType, envoy.ExtensionType} {
		s.has[url], s.versions[url] = map[string]string{}, map[string]string{}
		if before != nil {
			before.mu.Lock()
			maps.Copy(s.has[url], before.has[url])
			maps.Copy(s.versions[url], before.versions[url])
			before.mu.Unlock()
		}
		err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: url, ResourceNamesSubscribe: []string{"*"}, InitialResourceVersions: maps.Clone(s.versions[url])})
		if err != nil {
			t.Fatal(err)
		}
		node = nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			err := s.receive(stream)
			if err != nil {
				s.mu.Lock()
				s.ended = err
				s.mu.Unlock()
				return
			}
		}
	}()
	t.Cleanup(func() {
		end()
		<-done
	})
	return s
}

// ads opens a stream with a token of a service account; end ends it.
func (cp *controlPlane) ads(t *testing.T, namespace, account string) (deltaStream, func()) {
	t.Helper()
	token, err := cp.kube.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"istio-ca"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	eventually(t, func() string {
		m, err := cp.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), "istio-ca-root-cert", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		roots.AppendCertsFromPEM([]byte(m.Data["root-cert.pem"]))
		return ""
	})
	conn, err := grpc.NewClient(cp.xds, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "istiod.istio-system.svc", MinVersion: tls.VersionTLS12})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(
		metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token.Status.Token))
	if err != nil {
		t.Fatal(err)
	}
	return stream, func() {
		cancel()
		_ = conn.Close()
	}
}

type deltaStream = grpc.BidiStreamingClient[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]

// receive a response and answer it. Of a response that has something bad in it the
// good is taken, as Envoy does it, and the reason names the bad.
func (s *picky) receive(stream deltaStream) error {
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	answer := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}
	s.mu.Lock()
	defer s.mu.Unlock()
	var bad []string
	for _, x := range r.GetResources() {
		m, err := x.GetResource().UnmarshalNew()
		if err != nil {
			return err
		}
		text, err := protojson.Marshal(m)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), refused) {
			bad = append(bad, x.GetName())
			continue
		}
		s.has[r.GetTypeUrl()][x.GetName()], s.versions[r.GetTypeUrl()][x.GetName()] = string(text), x.GetVersion()
	}
	for _, name := range r.GetRemovedResources() {
		delete(s.has[r.GetTypeUrl()], name)
		delete(s.versions[r.GetTypeUrl()], name)
	}
	if len(bad) > 0 {
		s.nacks++
		answer.ErrorDetail = &status.Status{Code: 13, Message: "the picky one can't have " + strings.Join(bad, ", ")}
	}
	return stream.Send(answer)
}

// inForce waits until some words are in what it took, and others aren't.
func (s *picky) inForce(t *testing.T, words, without string) time.Duration {
	t.Helper()
	start := time.Now()
	eventuallyUntil(t, start.Add(patience), func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.ended != nil {
			t.Fatal("the stream has ended: ", s.ended)
		}
		return s.lacks(words, without)
	})
	return time.Since(start)
}

// goesOn applies another object beside a bad one, and wants it in force as soon as if nothing were wrong.
func (s *picky) goesOn(t *testing.T, apply func(), words, without string) {
	t.Helper()
	start := time.Now()
	apply()
	s.inForce(t, words, without)
	took := time.Since(start)
	t.Logf("another object was in force after %v", took)
	if took > quickly {
		t.Errorf("it took %v", took)
	}
}

func (s *picky) lacks(words, without string) string {
	has := func(word string) bool {
		for _, url := range slices.Sorted(maps.Keys(s.has)) {
			for _, text := range s.has[url] {
				if strings.Contains(text, word) {
					return true
				}
			}
		}
		return false
	}
	for _, w := range strings.Fields(words) {
		if !has(w) {
			return fmt.Sprintf("%q isn't in force after %d refusals", w, s.nacks)
		}
	}
	for _, w := range strings.Fields(without) {
		if has(w) {
			return fmt.Sprintf("%q is in force", w)
		}
	}
	return ""
}
