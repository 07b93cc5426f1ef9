// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// seeInside reads the store's page from the curl pod.
func (b *bookinfo) seeInside(t *testing.T, host string) (page, error) {
	t.Helper()
	out, err := try(t, "west", "-n", bookinfoNamespace, "exec", "deployment/curl", "-c", "curl", "--", "curl", "-sS", "http://"+host+"/productpage")
	return readPage(out), err
}

// The sample of the Gateway API: a gateway that is deployed for its Gateway, and
// routes inside the mesh.
func (b *bookinfo) gatewayAPI(t *testing.T) {
	b.config(t, "platform/kube/bookinfo-versions.yaml", "gateway-api/bookinfo-gateway.yaml")
	const gateway = "gateways.gateway.networking.k8s.io/bookinfo-gateway"
	// As the page says where there is no load balancer; here it has no address left.
	b.kubectl(t, "west", "annotate", gateway, "networking.istio.io/service-type=ClusterIP")
	b.kubectl(t, "west", "wait", "--for=condition=Programmed", gateway, "--timeout=10m")
	eventually(t, patience, "the store is open", func() error {
		p, err := b.seeInside(t, "bookinfo-gateway-istio.bookinfo.svc.cluster.local")
		if err == nil && (p.version == "" || !p.has("<title>Simple Bookstore App</title>")) {
			err = fmt.Errorf("the page:\n%s", p.body)
		}
		return err
	})
	for _, c := range []struct {
		file string
		want map[string]int
	}{
		{"route-all-v1", map[string]int{"v1": 100}},
		{"route-reviews-v3", map[string]int{"v3": 100}},
		{"route-reviews-90-10", map[string]int{"v1": 90, "v2": 10}},
		{"route-reviews-50-v3", map[string]int{"v1": 50, "v3": 50}},
		{"route-reviews-v1", map[string]int{"v1": 100}},
	} {
		t.Run(c.file, func(t *testing.T) {
			b.config(t, "gateway-api/"+c.file+".yaml")
			b.shares(t, c.want)
			eventually(t, patience, "the route is accepted and resolved", func() error {
				if accepted := b.kubectl(t, "west", "get", "httproute", "reviews", "-o",
					`jsonpath={.status.parents[*].conditions[?(@.type=="Accepted")].status} {.status.parents[*].conditions[?(@.type=="ResolvedRefs")].status}`); accepted != "True True" {
					return errors.New(accepted)
				}
				return nil
			})
			inARow(t, 1, "all of the store still works", func() error {
				p, err := b.seeInside(t, "productpage:9080")
				if err == nil && (c.want[p.version] == 0 || !p.has("Book Details") || p.stars != starsOfVersion[p.version]) {
					err = fmt.Errorf("reviews %q with %s stars:\n%s", p.version, p.stars, p.body)
				}
				return err
			})
		})
	}
}

const (
	reviewsExports = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: reviews, namespace: bookinfo}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: reviews-v1, namespace: bookinfo}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: reviews-v2, namespace: bookinfo}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: reviews-v3, namespace: bookinfo}
`
	ratingsExport = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: ratings, namespace: bookinfo}
`
)

// The store in two members: reviews only in east, which calls ratings only in
// west. Routes between versions hold over the border too.
func (b *bookinfo) split(t *testing.T) {
	b.namespace(t, "east")
	// The same as bookinfo.yaml, for a namespace whose pods have no rights.
	whole := b.file("bookinfo/platform/kube/bookinfo-psa.yaml")
	for _, labels := range []string{"service=reviews", "account=reviews", "app=reviews"} {
		b.kubectl(t, "east", "apply", "-f", whole, "-l", labels)
	}
	// The versions' Services are in both members, and their pods in one.
	b.config(t, "networking/bookinfo-gateway.yaml", "platform/kube/bookinfo-versions.yaml")
	b.kubectl(t, "east", "apply", "-f", b.file("bookinfo/platform/kube/bookinfo-versions.yaml"))
	b.available(t, "east")
	for _, v := range []string{"v1", "v2", "v3"} {
		b.kubectl(t, "west", "scale", "deployment", "reviews-"+v, "--replicas=0")
	}
	b.kubectl(t, "west", "wait", "--for=delete", "pod", "-l", "app=reviews", "--timeout=10m")
	apply(t, "east", reviewsExports)
	apply(t, "west", ratingsExport)
	pods := strings.Fields(b.kubectl(t, "east", "get", "pods", "-l", "app=reviews", "-o", "jsonpath={.items[*].metadata.name}"))

	v := b.visitor(t, "")
	fromEast := func() (page, error) {
		p, err := v.see(t.Context(), "/productpage")
		if err == nil && (p.status != 200 || p.stars != starsOfVersion[p.version] || !strings.Contains(strings.Join(pods, " "), p.pod)) {
			err = fmt.Errorf("reviews %q of %q with %s stars:\n%s", p.version, p.pod, p.stars, p.body)
		}
		return p, err
	}
	eventually(t, patience, "reviews come from east, with ratings from west", func() error {
		p, err := fromEast()
		if err == nil && p.stars == "none" {
			err = fmt.Errorf("version %s", p.version)
		}
		return err
	})
	// A connection to the other member leads to one pod, and carries a bounded
	// number of requests; then comes the next one.
	seen := map[string]int{}
	eventually(t, patience, "all three versions", func() error {
		inARow(t, 1, "pages of many visitors", func() error {
			// At the same time, so that there are many connections: few may all lead to two pods.
			var pages [8]page
			var errs [len(pages)]error
			var all sync.WaitGroup
			for i := range pages {
				all.Go(func() { pages[i], errs[i] = fromEast() })
			}
			all.Wait()
			for _, p := range pages {
				if p.version != "" {
					seen[p.version]++
				}
			}
			return errors.Join(errs[:]...)
		})
		if len(seen) < 3 {
			return fmt.Errorf("seen: %v", seen)
		}
		return nil
	})
	t.Logf("seen: %v", seen)
	for _, c := range []struct {
		file string
		want map[string]int
	}{
		{"route-reviews-v3", map[string]int{"v3": 100}},
		{"route-reviews-90-10", map[string]int{"v1": 90, "v2": 10}},
	} {
		t.Run(c.file, func(t *testing.T) {
			b.config(t, "gateway-api/"+c.file+".yaml")
			b.shares(t, c.want)
			inARow(t, 1, "reviews come from east", func() error {
				_, err := fromEast()
				return err
			})
		})
	}
}
