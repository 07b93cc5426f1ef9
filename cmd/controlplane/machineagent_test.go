// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	application "github.com/isthmesh/isthmesh/controlplane/agent/readiness"
)

// TestMachineAgent: what the agent of a machine tells of its application decides
// whether it is called; and its certificate is renewed when its token is gone.
func TestMachineAgent(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "probed"
	s := cp.machineTown(t, ns, tcpProbe)

	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	token, err := cp.kube.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "db",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"istio-ca"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	root, err := cp.kube.CoreV1().ConfigMaps(ns).Get(t.Context(), "istio-ca-root-cert", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"token": token.Status.Token, "root": root.Data["root-cert.pem"]} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id := spiffeid.RequireFromString("spiffe://cluster.local/ns/istio-system/sa/istiod")
	authority := &csr.Client{
		Address: cp.xds, ServerName: "istiod.istio-system.svc", ServerID: id, RootFile: in("root"), TokenFile: in("token"),
		Identity: "spiffe://cluster.local/ns/" + ns + "/sa/db", Cluster: "Kubernetes", TTL: time.Hour, Keep: dir,
	}
	first, err := authority.Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(in("token")); err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.Request(t.Context())
	if err != nil || leaf.Serial == first.Serial {
		t.Fatalf("no second certificate: %v", err)
	}

	envoy := cp.outside(t, ns, "db", "vms", "10.0.2.1")
	reporter := application.NewReporter()
	reporter.Address, reporter.ServerName, reporter.ServerID, reporter.Node = cp.xds, "istiod.istio-system.svc", id, envoy.node
	reporter.Leaf = func() *csr.Leaf { return leaf }
	reporter.Clock, reporter.Random = clock.RealClock{}, func() float64 { return 0 }
	var broken atomic.Bool
	checker := &application.Checker{
		Probe: &application.Probe{Timeout: 10 * time.Second, Period: 50 * time.Millisecond, Successes: 2, Failures: 2, Ask: func(context.Context) error {
			if broken.Load() {
				return errors.New("the database is closed")
			}
			return nil
		}},
		Proxy: func(context.Context) error { return nil }, Tell: reporter.Tell,
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	go func() { checker.Run(ctx); done <- struct{}{} }()
	go func() { reporter.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })

	envoy.configured()
	s.inForce(t, "10.0.2.1", "")
	broken.Store(true)
	t.Logf("it isn't called any more after %v", s.inForce(t, "10.9.9.9", "10.0.2.1"))
	broken.Store(false)
	s.inForce(t, "10.0.2.1", "")
	cp.alive(t)
}
