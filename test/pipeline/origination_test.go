// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"crypto/tls"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// TestEgressOrigination: a gateway speaks TLS to a server by what is in Secrets
// of its own namespace: it shows a certificate, and verifies the server's.
func TestEgressOrigination(t *testing.T) {
	root := rig.NewRoot(t)
	chain, key := root.Server()
	toSecure := toWeb("secure.example")
	toSecure.HTTP[0].Destinations[0].Host = "secure.shop.svc.cluster.local"
	own := secret("client", chain, key, root.PEM())
	foreign := secret("client", chain, key, rig.NewRoot(t).PEM())
	theirs := secret("client", chain, key, root.PEM())
	theirs.Namespace = "shop"
	f := newFront(t, []model.Listener{{Name: "plain", Port: 8081, Hosts: []model.ListenerHost{{Host: "*"}}}}, []*model.Routing{toSecure}, own)
	serveTLSAs(f.web, &tls.Config{Certificates: []tls.Certificate{root.Pair("secure.example")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: root.Pool()}) //nolint:gosec // as it comes
	policy := func(mode model.ClientTLSMode) {
		m := *f.mesh
		m.Policies = []*model.DestinationPolicy{{
			Origin: model.Origin{Kind: "DestinationRule", Namespace: "shop", Name: "secure"}, Host: "secure.shop.svc.cluster.local",
			Policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{TLS: &model.ClientTLS{
				Mode: mode, SNI: "secure.example", SubjectNames: []string{"secure.example"}, Credential: &model.CredentialRef{Name: "client"},
			}}},
		}}
		f.mesh = &m
	}
	for _, c := range []struct {
		name   string
		mode   model.ClientTLSMode
		secret *corev1.Secret
		status int
	}{
		{"Mutual", model.MutualTLS, own, 200},
		{"ShowsNothing", model.SimpleTLS, own, 503},
		{"AnotherCA", model.MutualTLS, foreign, 503},
		{"MutualAgain", model.MutualTLS, own, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy(c.mode)
			f.push(c.secret)
			if status, body, _ := f.call(f.client(nil), "http://x:8081/", "secure.example"); status != c.status {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	t.Run("AnotherNamespace", func(t *testing.T) {
		m := *f.mesh
		m.Credentials = credential.Build([]*corev1.Secret{theirs}, nil, nil).Credentials
		s := snapshot.Build(&m, f.snapshot)
		p := s.Problems()
		if len(p) != 1 || p[0].Name != "secure" || p[0].Reason != "CredentialUnusable" {
			t.Errorf("the problems are %v", p)
		}
		gateway := &model.Proxy{Type: model.Router, Namespace: "edge", Labels: m.Workloads[0].Labels, Workload: m.Workloads[0]}
		if r := s.View(gateway).Types[envoy.SecretType].Own.Get("kubernetes://shop/client"); r != nil {
			t.Error("a gateway gets the key of another namespace")
		}
	})
}
