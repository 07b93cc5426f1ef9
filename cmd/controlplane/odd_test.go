// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestOddObjectsAreNotForEnvoyToRefuse applies what people get wrong, and what
// only a hostile mind writes (testdata/odd.yaml), past the webhook. None of it
// may reach a proxy as something that it refuses: that would hold up what is
// beside it, such as the other hosts on a port.
func TestOddObjectsAreNotForEnvoyToRefuse(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "odd"
	p := cp.namespaceWithClient(t, ns, "10.1.0.2")
	text, err := os.ReadFile("testdata/odd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Hundreds of objects have something written on them, and not all at once.
	t.Cleanup(func() { cp.clear(ns) })
	for i, part := range strings.Split(string(text), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
			t.Fatalf("%v: %s", err, part)
		}
		u.SetNamespace(ns)
		if u.GetName() == "" {
			u.SetName(fmt.Sprintf("odd-%d", i))
		}
		if err := cp.try(t, u); err != nil {
			t.Logf("the API server refuses %d: %v", i, err) // which is as good
			continue
		}
	}
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: marker, namespace: %[1]s}, spec: {clusterIP: None, ports: [{name: http, port: 80}, {name: http-also, port: 7171}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: marker, namespace: %[1]s}, spec: {hosts: [marker], http: [{headers: {request: {set: {x-marker: "yes"}}}, route: [{destination: {host: marker}}]}]}}
`, ns))
	p.has(t, true, "x-marker")
	p.has(t, true, "0.0.0.0_7171")
	// One that starts now waits for none of it either.
	cp.envoy(t, ns, "10.1.0.2").has(t, true, "x-marker")
	eventuallyUntil(t, time.Now().Add(patience), func() string {
		var out []string
		for _, problem := range cp.problems(t) {
			if problem.Reason != model.RejectedByProxy || problem.Namespace != ns {
				continue
			}
			// What is in a file only the pod's proxy knows. It is told on the object, or
			// on the pod when the proxy refuses several at once and doesn't say which.
			if !strings.Contains(problem.Message, "rejects Secret") && !strings.Contains(problem.Message, "rejects a Secret") {
				out = append(out, fmt.Sprintf("%s %s: %s", problem.Kind, problem.Name, problem.Message))
			}
		}
		return strings.Join(out, "\n")
	})
	cp.alive(t)
}

// clear a namespace of what Istio's API has in it.
func (cp *controlPlane) clear(namespace string) {
	for group, kinds := range map[string][]string{
		"networking.istio.io": {"virtualservices", "destinationrules", "serviceentries", "sidecars", "gateways"},
		"security.istio.io":   {"authorizationpolicies", "peerauthentications", "requestauthentications"},
	} {
		for _, kind := range kinds {
			_ = cp.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: kind}).Namespace(namespace).
				DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{})
		}
	}
}

func (cp *controlPlane) problems(t *testing.T) []model.Problem {
	t.Helper()
	body := cp.text(t, "/debug/problemsz")
	var out []model.Problem
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return out
}

// text of a page for debugging.
func (cp *controlPlane) text(t *testing.T, path string) string {
	t.Helper()
	r, err := http.Get("http://" + cp.monitoring + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
