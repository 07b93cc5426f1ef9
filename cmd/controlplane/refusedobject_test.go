// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const withSidecar = "{name: app, image: app}, {name: istio-proxy, image: proxy}"

// quickly is what others may take to be in force beside an object that a proxy
// refuses. Two seconds are promised where there are processors to be had.
const quickly = 10 * time.Second

// TestABadObjectCostsOnlyItself: whatever kind of object it is that a proxy
// refuses, and that nobody else finds fault with, others are in force at once, its
// status has the proxy's words, and nothing that was closed is open.
func TestABadObjectCostsOnlyItself(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "spared"
	cp.pod(t, ns, "client", "10.1.1.9", "{app: client}", withSidecar)
	t.Cleanup(func() { cp.clear(ns) })
	services := ""
	for _, name := range []string{"shop", "other", "later"} {
		services += fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}\n---\n", name, ns)
	}
	cp.apply(t, services)
	s := cp.picky(t, ns, nil)
	// Plain connections are taken when its pod is known: it has run without what comes now.
	s.inForce(t, "shop.spared.svc.cluster.local other.spared.svc.cluster.local raw_buffer", "")

	vs := func(host, header string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: %[1]s, namespace: %[2]s}, spec: {hosts: [%[1]s], http: [{headers: {request: {set: {x-a: %[3]s}}}, route: [{destination: {host: %[1]s}}]}]}}`, host, ns, header)
	}
	dr := func(header string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: shop, namespace: %s}, spec: {host: shop, trafficPolicy: {tls: {mode: SIMPLE, sni: kept.example}, loadBalancer: {consistentHash: {httpHeaderName: %s}}}}}`, ns, header)
	}
	se := func(endpoint string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: shop, namespace: %s}, spec: {hosts: [entry.example], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: %s.example}]}}`, ns, endpoint)
	}
	guard := func(path string) string {
		return fmt.Sprintf(`{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: shop, namespace: %s}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/%s]}}]}]}}`, ns, path)
	}
	delegate := func(header string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: %[1]s}, spec: {http: [{headers: {request: {set: {x-a: %[2]s}}}, route: [{destination: {host: shop}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: root, namespace: %[1]s}, spec: {hosts: [shop], http: [{match: [{uri: {prefix: /part}}], delegate: {name: shop}}, {headers: {request: {set: {x-a: of-the-root}}}, route: [{destination: {host: shop}}]}]}}`, ns, header)
	}
	scope := func(socket string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: shop, namespace: %[1]s}, spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY},
  egress: [{bind: "unix:///%[2]s", port: {number: 0, name: http, protocol: HTTP}, hosts: [./shop.%[1]s.svc.cluster.local]}, {hosts: [./shop.%[1]s.svc.cluster.local, ./later.%[1]s.svc.cluster.local]}]}}`, ns, socket)
	}
	deny := fmt.Sprintf("ns[%s]-policy[shop]-rule[0]", ns)
	n := 0
	for _, c := range []struct {
		name, kind string
		before     string // "" for none
		bad        string
		// in force, and not, while it is set aside.
		has, hasnt string
		says       string
		mended     bool
	}{
		{"NewVirtualService", "VirtualService", "", vs("shop", refused), "", "", "is left out for it", false},
		{"ChangedVirtualService", "VirtualService", vs("shop", "was-fine"), vs("shop", refused), "was-fine", "", "stays there as it was before the change", true},
		{"DestinationRule", "DestinationRule", dr("x-was-fine"), dr(refused), "x-was-fine kept.example", "", "stays there as it was before the change", false},
		{"ServiceEntry", "ServiceEntry", se("was-fine"), se(refused), "was-fine.example", "", "stays there as it was before the change", false},
		// What it guards is denied, not open.
		{"AuthorizationPolicy", "AuthorizationPolicy", guard("was-fine"), guard(refused), deny, "/was-fine", "all that it guards is denied there", false},
		// The object that says the rule is told, and the rules of the one that includes it go on.
		{"Delegate", "VirtualService", delegate("was-fine"), delegate(refused), "was-fine of-the-root", "", "stays there as it was before the change", false},
		{"NewDelegate", "VirtualService", "", delegate(refused), "of-the-root /part", "", "calls that its rules are about fail there", false},
		// Nobody may call more with what stands in for it.
		{"Sidecar", "Sidecar", scope("was-fine"), scope(refused), "was-fine", "other.spared.svc.cluster.local", "stays there as it was before the change", false},
		{"NewSidecar", "Sidecar", "", scope(refused), "other.spared.svc.cluster.local", "", "is left out for it", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != "" {
				cp.apply(t, c.before)
				s.inForce(t, "was-fine", "")
			}
			cp.apply(t, c.bad)
			n++
			later := fmt.Sprintf("later-%d", n)
			s.goesOn(t, func() { cp.apply(t, vs("later", later)) }, later+" "+c.has, c.hasnt+" "+refused)
			cp.says(t, c.kind, ns+"/shop", "False RejectedByProxy: ", "pod "+ns+"/client rejects", "the picky one can't have", c.says)
			if c.before != "" {
				cp.apply(t, c.before)
				s.inForce(t, "was-fine", "")
			}
			if c.mended { // which takes ten seconds to be told
				cp.says(t, c.kind, ns+"/shop", "True Reconciled")
			}
			cp.clear(ns)
			s.inForce(t, "", "was-fine "+later)
		})
	}
	cp.alive(t)
}

// TestARestartKeepsBadObjectsApart: a control plane that starts when there is a bad
// object knows nothing of what it was before. It is set aside again, others are in
// force, and what it may have closed is not open.
func TestARestartKeepsBadObjectsApart(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "restarted"
	cp.pod(t, ns, "client", "10.1.1.10", "{app: client}", withSidecar)
	t.Cleanup(func() { cp.clear(ns) })
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: %[1]s}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: later, namespace: %[1]s}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
%[2]s`, ns, luaFilter(ns, "bad", "-- filter-in-force")))
	vs := func(host, header string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: %[1]s, namespace: %[2]s}, spec: {hosts: [%[1]s], http: [{match: [{uri: {prefix: /private}}], directResponse: {status: 403}}, {headers: {request: {set: {x-a: %[3]s}}}, route: [{destination: {host: %[1]s}}]}]}}`, host, ns, header)
	}
	cp.apply(t, vs("shop", "was-fine"))
	first := cp.picky(t, ns, nil)
	// Each by a word that isn't part of another's: what is spoilt next stays as it was.
	first.inForce(t, "was-fine filter-in-force /private", "")
	cp.apply(t, vs("shop", refused))
	cp.apply(t, luaFilter(ns, "bad", "-- "+refused))
	cp.says(t, "VirtualService", ns+"/shop", "False RejectedByProxy: ", "stays there as it was")
	cp.says(t, "EnvoyFilter", ns+"/bad", "False RejectedByProxy: ", "stays there as it was")

	again := cp.another(t, "istiod-2")
	s := again.picky(t, ns, first)
	start := time.Now()
	cp.apply(t, vs("later", "x-later"))
	// The filter is left out; the routes lead nowhere, as it isn't known what they closed.
	s.inForce(t, "x-later /private", refused+" was-fine")
	if took := time.Since(start); took > quickly {
		t.Errorf("another object was in force after %v", took)
	}
	problems := ""
	eventuallyUntil(t, time.Now().Add(patience), func() string {
		problems = again.text(t, "/debug/problemsz")
		for _, part := range []string{"calls that it is about fail there", "the whole filter is left out for it"} {
			if !strings.Contains(problems, part) {
				return fmt.Sprintf("%q isn't told: %s", part, problems)
			}
		}
		return ""
	})
}

// TestReplicasTellTheLeader: what a proxy refuses that is connected to a replica
// which isn't the leader is told on the object all the same, and no longer when
// the replica is gone.
func TestReplicasTellTheLeader(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "replicas"
	cp.pod(t, ns, "client", "10.1.1.11", "{app: client}", withSidecar)
	t.Cleanup(func() { cp.clear(ns) })
	cp.leads(t, "istiod-0")
	second := cp.another(t, "istiod-1")
	s := second.picky(t, ns, nil)
	s.inForce(t, "virtualInbound", "")
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: %[1]s}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: %[1]s}, spec: {hosts: [shop], http: [{headers: {request: {set: {x-a: %[2]s}}}, route: [{destination: {host: shop}}]}]}}`, ns, refused))
	cp.says(t, "VirtualService", ns+"/shop", "False RejectedByProxy: ", "pod "+ns+"/client rejects", "the picky one can't have")
	if told := cp.text(t, "/debug/problemsz"); strings.Contains(told, ns+"/client rejects") {
		t.Error("the leader itself has heard of it")
	}
	second.stop()
	cp.says(t, "VirtualService", ns+"/shop", "True Reconciled")
	_, err := cp.kube.CoreV1().ConfigMaps("istio-system").Get(t.Context(), "isthmesh-rejections-istiod-1", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("what the replica said is still there: %v", err)
	}
	cp.leads(t, "istiod-0")
}

// leads waits until a replica writes conditions.
func (cp *controlPlane) leads(t *testing.T, replica string) {
	t.Helper()
	eventuallyUntil(t, time.Now().Add(patience), func() string {
		lease, err := cp.kube.CoordinationV1().Leases("istio-system").Get(context.Background(), problemLease, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if h := lease.Spec.HolderIdentity; h == nil || *h != replica {
			return fmt.Sprintf("the leader is %v", h)
		}
		return ""
	})
}
