// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// again applies what the files of another test have in common with the store.
func (b *bookinfo) again(t *testing.T) {
	t.Helper()
	if _, err := try(t, "west", "-n", bookinfoNamespace, "apply", "-f", b.file("bookinfo/platform/kube/bookinfo.yaml")); err != nil {
		t.Error(err)
	}
}

// shown waits until each path answers with its status.
func (v visitor) shown(t *testing.T, what string, statuses map[string]int) {
	t.Helper()
	eventually(t, patience, what, func() error {
		for path, want := range statuses {
			p, err := v.see(t.Context(), path)
			if err != nil {
				return err
			}
			if p.status != want {
				return fmt.Errorf("%s: status %d, want %d", path, p.status, want)
			}
		}
		return nil
	})
}

// bookinfo-ingress.yaml opens the same paths by an Ingress as bookinfo-gateway.yaml does.
func (b *bookinfo) kubernetesIngress(t *testing.T) {
	b.config(t, "platform/kube/bookinfo-ingress.yaml")
	b.visitor(t, "").shown(t, "the store is open by an Ingress", map[string]int{
		"/productpage": http.StatusOK, "/static/tailwind/tailwind.css": http.StatusOK, "/api/v1/products/0/reviews": http.StatusOK,
		"/": http.StatusNotFound, "/details/0": http.StatusNotFound, "/productpages": http.StatusNotFound,
	})
}

// productpage-nodeport.yaml opens the page at a port of the node.
func (b *bookinfo) nodePort(t *testing.T) {
	t.Cleanup(func() { b.again(t) })
	b.config(t, "platform/kube/productpage-nodeport.yaml")
	node := kubectl(t, "west", "get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	port := b.kubectl(t, "west", "get", "service", "productpage", "-o", "jsonpath={.spec.ports[0].nodePort}")
	v := b.visitor(t, "")
	v.address = node + ":" + port
	v.shown(t, "the page at a port of the node", map[string]int{"/productpage": http.StatusOK, "/health": http.StatusOK, "/details/0": http.StatusNotFound})
}

// The services that have files of their own, without accounts. Only version 2 of
// reviews does, and after the split there is no other.
func (b *bookinfo) parts(t *testing.T) {
	b.config(t, "networking/bookinfo-gateway.yaml")
	for _, part := range []string{"details", "ratings", "reviews-v2"} {
		b.kubectl(t, "west", "apply", "-f", b.file("bookinfo/platform/kube/bookinfo-"+part+".yaml"))
	}
	b.kubectl(t, "west", "scale", "deployment", "reviews-v1", "reviews-v2", "reviews-v3", "--replicas=0")
	b.kubectl(t, "west", "scale", "deployment", "reviews-v2", "--replicas=1")
	b.available(t, "west")
	b.visitor(t, "").alwaysSees(t, "v2")
}

// certmanager-gateway.yaml leads one path to the Service that answers
// cert-manager's challenges; something that answers stands in for it.
func (b *bookinfo) certManager(t *testing.T) {
	apply(t, "west", challengeResolver)
	file := b.file("bookinfo/networking/certmanager-gateway.yaml")
	kubectl(t, "west", "apply", "-f", file)
	t.Cleanup(func() {
		if _, err := try(t, "west", "delete", "--ignore-not-found", "-f", file); err != nil {
			t.Error(err)
		}
	})
	v := b.visitor(t, "")
	const challenge = "/.well-known/acme-challenge/token"
	eventually(t, patience, "challenges are answered", func() error {
		p, err := v.see(t.Context(), challenge)
		// The stand-in has no such page either, and says so; the gateway wouldn't.
		if err == nil && !strings.Contains(p.body, "404 page not found") {
			err = fmt.Errorf("status %d: %s", p.status, p.body)
		}
		return err
	})
	if p, err := v.see(t.Context(), "/productpage"); err != nil || p.status != http.StatusNotFound || p.body != "" {
		t.Errorf("another path: status %d, %v: %s", p.status, err, p.body)
	}
}

const challengeResolver = `
apiVersion: v1
kind: Service
metadata: {name: cert-manager-resolver, namespace: istio-system}
spec:
  ports: [{name: http, port: 8089}]
  selector: {app: cert-manager-resolver}
---
apiVersion: v1
kind: Pod
metadata: {name: cert-manager-resolver, namespace: istio-system, labels: {app: cert-manager-resolver}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: resolver
      image: isthmesh/samples:dev
      args: [httpbin, "8089"]
      readinessProbe: {tcpSocket: {port: 8089}, periodSeconds: 1, timeoutSeconds: 10}
`
