// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// TestFailover takes the endpoints of a service away one after the other and
// sees who answers.
func TestFailover(t *testing.T) {
	root := rig.NewRoot(t)
	fabric := rig.New(t)
	caller := fabric.Pod("shop", "client", "10.244.0.10")
	leaf := root.Leaf("spiffe://here.example/ns/shop/sa/client")
	e := caller.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://here.example/ns/shop/sa/client", Leaf: &leaf, Redirect: true})
	for i, name := range []string{"near-1", "near-2", "far-eu", "far-us"} {
		pod := fabric.Pod("shop", name, fmt.Sprintf("10.244.0.%d", i+11))
		echo(pod, 80)
	}
	const (
		near1 = "endpoint shop/reviews:80 10.244.0.11:80 plain"
		near2 = "endpoint shop/reviews:80 10.244.0.12:80 plain"
		farEU = "import shop/reviews:80 10.244.0.13:80 plain member=eu zone=eu/eu-9"
		farUS = "import shop/reviews:80 10.244.0.14:80 plain member=us zone=us/us-1"
	)
	var s *snapshot.Snapshot
	for _, step := range []struct {
		name, endpoints string
		want            []string
	}{
		{"Own", near1 + "\n" + near2 + "\n" + farEU + "\n" + farUS, []string{"near-1", "near-2"}},
		{"HalfTerminating", near1 + "\n" + near2 + " draining\n" + farEU + "\n" + farUS, []string{"near-1"}},
		{"AllTerminating", near1 + " draining\n" + near2 + " draining\n" + farEU + "\n" + farUS, []string{"far-eu"}},
		{"OwnGone", farEU + "\n" + farUS, []string{"far-eu"}},
		{"NearMemberGone", farUS, []string{"far-us"}},
		{"OnlyTerminating", near2 + " draining", []string{"near-2"}},
		{"Nobody", "", nil},
		{"BackAgain", near1 + "\n" + farEU, []string{"near-1"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			s = snapshot.Build(mesh(t, `
				member here region=eu
				service shop/reviews vip=10.96.0.7 port=80/HTTP imported id=shop/reviews
				workload shop/client 10.244.0.10 sa=client zone=eu/eu-1
				`+step.endpoints), s)
			if err := e.Try(s); err != nil {
				t.Fatal(err)
			}
			c := client(caller)
			got := map[string]bool{}
			for range 40 {
				status, body := get(t, c, "10.96.0.7:80", "reviews")
				switch {
				case status == 200:
					got[strings.TrimPrefix(strings.Fields(body)[0], "pod=")] = true
				case status != 503 || step.want != nil:
					t.Fatalf("%d %s", status, body)
				}
			}
			if len(got) != len(step.want) {
				t.Errorf("answers from %v, want %v", got, step.want)
			}
			for _, w := range step.want {
				if !got[w] {
					t.Errorf("answers from %v, want %v", got, step.want)
				}
			}
		})
	}
}

// TestPlaces sends calls to what is special: pods of a headless service, hosts
// that the mesh doesn't know, a gateway that has only a name.
func TestPlaces(t *testing.T) {
	root := rig.NewRoot(t)
	fabric := rig.New(t)
	caller := fabric.Pod("shop", "client", "10.244.0.10")
	outside := fabric.Pod("none", "outside", "10.244.0.30")
	leaf, server := root.Leaf("spiffe://here.example/ns/shop/sa/client"), root.Leaf("spiffe://here.example/ns/shop/sa/db")
	const text = `
		member here
		service shop/db headless port=8080/HTTP port=7070/TCP id=shop/db
		endpoint shop/db:8080 10.244.0.11:8080 hostname=db-0
		endpoint shop/db:8080 10.244.0.12:8080 hostname=db-1
		endpoint shop/db:7070 10.244.0.11:7070 hostname=db-0
		endpoint shop/db:7070 10.244.0.12:7070 hostname=db-1
		service shop/named vip=240.240.0.1 port=80/HTTP imported remote id=shop/db
		import shop/named:80 gateway=localhost:8081 member=there network=n2
		workload shop/db-0 10.244.0.11 sa=db mtls=Strict in=8080/HTTP in=7070/TCP
		workload shop/db-1 10.244.0.12 sa=db mtls=Strict in=8080/HTTP in=7070/TCP
		workload shop/client 10.244.0.10 sa=client in=8080/HTTP
		`
	s := snapshot.Build(mesh(t, text), nil)
	for i := range 2 {
		pod := fabric.Pod("shop", fmt.Sprintf("db-%d", i), fmt.Sprintf("10.244.0.%d", i+11))
		pod.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://here.example/ns/shop/sa/db", Leaf: &server, Redirect: true}).Push(s)
		echo(pod, 8080)
		greet(pod, 7070)
	}
	e := caller.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://here.example/ns/shop/sa/client", Leaf: &leaf, Redirect: true})
	e.Push(s)
	c := client(caller)
	answers := func(t *testing.T, address, host, want string) {
		t.Helper()
		if status, body := get(t, c, address, host); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s as %s: %d %s, want %s", address, host, status, body, want)
		}
	}
	t.Run("HeadlessPodByName", func(t *testing.T) {
		for range 10 {
			answers(t, "10.244.0.12:8080", "db-1.db", "pod=db-1")
			answers(t, "10.244.0.11:8080", "db-0.db.shop.svc.cluster.local", "pod=db-0")
		}
	})
	t.Run("HeadlessBalanced", func(t *testing.T) {
		pods := map[string]bool{}
		for range 40 {
			_, body := get(t, c, "10.244.0.11:8080", "db")
			pods[strings.Fields(body)[0]] = true
		}
		if len(pods) != 2 {
			t.Errorf("answers from %v", pods)
		}
	})
	t.Run("HeadlessTCP", func(t *testing.T) {
		for range 5 {
			converse(t, caller, "10.244.0.11:7070", "db-0")
			converse(t, caller, "10.244.0.12:7070", "db-1")
		}
	})
	echo(outside, 8080)
	greet(outside, 9999)
	t.Run("UnknownHost", func(t *testing.T) { answers(t, "10.244.0.30:8080", "example.com", "pod=outside") })
	t.Run("UnknownPort", func(t *testing.T) { converse(t, caller, "10.244.0.30:9999", "outside") })
	t.Run("PlaintextToPermissive", func(t *testing.T) {
		echo(caller, 8080)
		status, body := get(t, client(outside), "10.244.0.10:8080", "client")
		// Not even what Envoys tell each other gets through from outside.
		if status != 200 || !strings.Contains(body, "pod=client") || strings.Contains(body, "forged") || strings.Contains(body, "told-by-client") {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("GatewayByName", func(t *testing.T) {
		// What stands for the gateway here is a server that a name leads to.
		if status, body := get(t, c, "240.240.0.1:80", "named"); status != 503 || e.Stat("cluster.named|8081||localhost.upstream_cx_total") == 0 {
			t.Errorf("the name was not connected to: %d %s", status, body)
		}
	})
	t.Run("RegistryOnly", func(t *testing.T) {
		if err := e.Try(snapshot.Build(mesh(t, strings.Replace(text, "member here", "member here registry-only", 1)), s)); err != nil {
			t.Fatal(err)
		}
		if status, _ := get(t, client(caller), "10.244.0.30:8080", "example.com"); status != 502 {
			t.Errorf("%d", status)
		}
		if conn, err := caller.Dial("10.244.0.30:9999"); err == nil {
			if n, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("read %d bytes of a host that is not in the registry", n)
			}
		}
	})
}
