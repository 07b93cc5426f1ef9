// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The first commands of Istio's getting started.
func (b *bookinfo) getStarted(t *testing.T) {
	pod := b.kubectl(t, "west", "get", "pod", "-l", "app=ratings", "-o", "jsonpath={.items[0].metadata.name}")
	// A pod is ready a moment before the other proxies know.
	eventually(t, patience, "the store is open inside", func() error {
		return contains(b.kubectl(t, "west", "exec", pod, "-c", "ratings", "--", "curl", "-sS", "productpage:9080/productpage"), "<title>Simple Bookstore App</title>")
	})
	containers := b.kubectl(t, "west", "get", "pods", "-o", `jsonpath={range .items[*]}{.metadata.labels.app} {.status.containerStatuses[*].ready} {.status.initContainerStatuses[?(@.name=="istio-proxy")].ready}{"\n"}{end}`)
	for line := range strings.Lines(containers) {
		if !strings.HasSuffix(strings.TrimSpace(line), " true true") {
			t.Errorf("a pod without a ready sidecar: %s", line)
		}
	}
}

// bookinfo-gateway.yaml opens five paths and no others; without rules all versions answer.
func (b *bookinfo) ingressRoutes(t *testing.T) {
	b.config(t, "networking/bookinfo-gateway.yaml")
	v := b.visitor(t, "")
	v.shown(t, "the store is open, and nothing else", map[string]int{
		"/productpage": 200, "/productpage?u=normal": 200, "/static/tailwind/tailwind.css": 200, "/logout": 200,
		"/api/v1/products": 200, "/api/v1/products/0": 200, "/api/v1/products/0/reviews": 200, "/api/v1/products/0/ratings": 200,
		"/": 404, "/health": 404, "/productpages": 404, "/details/0": 404,
	})
	if got := b.kubectl(t, "west", "get", "gateways.networking.istio.io", "-o", "name"); got != "gateway.networking.istio.io/bookinfo-gateway" {
		t.Errorf("kubectl get gateway: %s", got)
	}
	seen := map[string]bool{}
	eventually(t, patience, "all three versions", func() error {
		p, err := v.see(t.Context(), "/productpage")
		if err != nil {
			return err
		}
		if p.version == "" || p.stars != starsOfVersion[p.version] {
			return fmt.Errorf("reviews %q with %s stars", p.version, p.stars)
		}
		if seen[p.version] = true; len(seen) < 3 {
			return fmt.Errorf("seen: %v", seen)
		}
		return nil
	})
}

// Who sees which version: everybody one, or jason another one.
func (b *bookinfo) requestRouting(t *testing.T) {
	b.config(t, "networking/bookinfo-gateway.yaml", "networking/destination-rule-all.yaml")
	jason, other := b.visitor(t, "jason"), b.visitor(t, "")
	for _, c := range []struct {
		file, others, jason string
	}{
		{"networking/virtual-service-all-v1.yaml", "v1", "v1"},
		{"networking/virtual-service-reviews-test-v2.yaml", "v1", "v2"},
		{"networking/virtual-service-reviews-jason-v2-v3.yaml", "v3", "v2"},
		{"networking/virtual-service-reviews-v3.yaml", "v3", "v3"},
	} {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(c.file, "networking/virtual-service-"), ".yaml"), func(t *testing.T) {
			b.config(t, c.file)
			other.alwaysSees(t, c.others)
			jason.alwaysSees(t, c.jason)
		})
	}
	// Another user is nobody special.
	t.Run("OtherUser", func(t *testing.T) {
		b.config(t, "networking/virtual-service-reviews-test-v2.yaml")
		b.visitor(t, "jasonx").alwaysSees(t, "v1")
	})
}

// Shares of requests by weight, with each balancer that the samples name.
func (b *bookinfo) trafficShifting(t *testing.T) {
	for _, c := range []struct {
		rules, file string
		want        map[string]int
	}{
		{"destination-rule-all", "reviews-80-20", map[string]int{"v1": 80, "v2": 20}},
		{"destination-rule-all", "reviews-50-v3", map[string]int{"v1": 50, "v3": 50}},
		{"destination-rule-all", "reviews-90-10", map[string]int{"v1": 90, "v2": 10}},
		{"destination-rule-reviews", "reviews-v2-v3", map[string]int{"v2": 50, "v3": 50}},
	} {
		t.Run(c.file, func(t *testing.T) {
			b.config(t, "networking/"+c.rules+".yaml", "networking/virtual-service-"+c.file+".yaml")
			b.shares(t, c.want)
		})
	}
}

const bookinfoStrict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: bookinfo}
spec: {mtls: {mode: STRICT}}
`

// destination-rule-all-mtls.yaml where nobody takes plaintext: calls go on, and
// a call without the mesh is refused.
func (b *bookinfo) mutualTLS(t *testing.T) {
	b.config(t, "networking/bookinfo-gateway.yaml", "networking/destination-rule-all-mtls.yaml", "networking/virtual-service-all-v1.yaml")
	plain := func() error {
		_, err := try(t, "west", "-n", outsideNamespace, "exec", "deployment/books", "--",
			"curl", "-sS", "http://reviews.bookinfo.svc.cluster.local:9080/health")
		return err
	}
	eventually(t, patience, "plaintext is taken where it is not forbidden", plain)
	apply(t, "west", bookinfoStrict)
	eventually(t, patience, "plaintext is refused", func() error {
		if plain() == nil {
			return errStillAnswers
		}
		return nil
	})
	b.visitor(t, "").alwaysSees(t, "v1")
}

// A delay of 7 s between reviews and ratings: version 2 would wait, but
// productpage gives up after twice 3 s, and so the page has no reviews. That is
// the mistake that the task finds. Version 3 gives up on ratings in time.
func (b *bookinfo) delay(t *testing.T) {
	b.config(t, "networking/bookinfo-gateway.yaml", "networking/destination-rule-all.yaml", "networking/virtual-service-all-v1.yaml")
	b.config(t, "networking/virtual-service-reviews-test-v2.yaml", "networking/virtual-service-ratings-test-delay.yaml")
	jason, other := b.visitor(t, "jason"), b.visitor(t, "")
	var p page
	eventually(t, patience, "jason sees no reviews", func() (err error) {
		if p, err = jason.see(t.Context(), "/productpage"); err == nil && !p.has("Error fetching product reviews") {
			err = errors.New("he does")
		}
		return err
	})
	if !p.has("Sorry, product reviews are currently unavailable for this book.") || !p.has("Book Details") {
		t.Errorf("the page:\n%s", p.body)
	}
	if p.took < 5900*time.Millisecond || p.took > 20*time.Second {
		t.Errorf("the page took %s, want twice 3s", p.took)
	}
	other.alwaysSees(t, "v1")
	direct := time.Now()
	out := b.kubectl(t, "west", "exec", "deployment/reviews-v2", "-c", "reviews", "--", "curl", "-sS", "-H", "end-user: jason", "http://ratings:9080/ratings/0")
	if took := time.Since(direct); took < 6900*time.Millisecond || !strings.Contains(out, `"Reviewer1":5`) {
		t.Errorf("ratings answered %s after %s, want its ratings after 7s", out, took)
	}

	b.config(t, "networking/virtual-service-reviews-v3.yaml")
	eventually(t, patience, "version 3 has reviews without ratings", func() error {
		p, err := jason.see(t.Context(), "/productpage")
		if err == nil && (p.version != "v3" || !p.has("Ratings service is currently unavailable")) {
			err = fmt.Errorf("reviews %q:\n%s", p.version, p.body)
		}
		return err
	})
}

// An abort with 500 between reviews and ratings: only jason sees it.
func (b *bookinfo) abort(t *testing.T) {
	b.config(t, "networking/bookinfo-gateway.yaml", "networking/destination-rule-all.yaml", "networking/virtual-service-all-v1.yaml")
	b.config(t, "networking/virtual-service-reviews-test-v2.yaml", "networking/virtual-service-ratings-test-abort.yaml")
	jason, other := b.visitor(t, "jason"), b.visitor(t, "")
	unrated := func() error {
		p, err := jason.see(t.Context(), "/productpage")
		if err == nil && (p.version != "v2" || p.stars != "none" || !p.has("Ratings service is currently unavailable")) {
			err = fmt.Errorf("reviews %q with %s stars", p.version, p.stars)
		}
		return err
	}
	eventually(t, patience, "jason sees no ratings", unrated)
	inARow(t, 25, "jason sees no ratings", unrated)
	other.alwaysSees(t, "v1")
	for user, want := range map[string]string{"jason": "500", "maria": "200"} {
		got := b.kubectl(t, "west", "exec", "deployment/reviews-v2", "-c", "reviews", "--",
			"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "end-user: "+user, "http://ratings:9080/ratings/0")
		if got != want {
			t.Errorf("ratings answers %s with %s, want %s", user, got, want)
		}
	}
}

// fault-injection-details-v1.yaml: details is gone, with a status that nobody else has.
func (b *bookinfo) detailsFault(t *testing.T) {
	b.config(t, "networking/bookinfo-gateway.yaml", "networking/fault-injection-details-v1.yaml")
	v := b.visitor(t, "")
	eventually(t, patience, "no details", func() error {
		p, err := v.see(t.Context(), "/api/v1/products/0")
		if err == nil && p.status != 555 {
			err = fmt.Errorf("status %d, want 555", p.status)
		}
		return err
	})
	inARow(t, 25, "the page without details", func() error {
		p, err := v.see(t.Context(), "/productpage")
		if err == nil && (!p.has("Error fetching product details") || p.version == "") {
			err = fmt.Errorf("the page:\n%s", p.body)
		}
		return err
	})
}

const reviewsMirrored = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: bookinfo}
spec:
  hosts: [reviews]
  http:
    - route: [{destination: {host: reviews, subset: v1}}]
      mirror: {host: reviews, subset: v3}
      mirrorPercentage: {value: 100}
`

// Mirrored: everybody sees version 1, while version 3 gets a copy of each
// request, known by the host that it is sent to.
func (b *bookinfo) mirror(t *testing.T) {
	b.config(t, "networking/bookinfo-gateway.yaml", "networking/destination-rule-all.yaml")
	apply(t, "west", reviewsMirrored)
	asked := func(version, as string) int {
		return strings.Count(b.kubectl(t, "west", "logs", "deployment/reviews-"+version, "-c", "reviews"), "asked as "+as)
	}
	copies := func() int { return asked("v3", "reviews-shadow") }
	// More than one for a page where productpage has lost patience.
	requests := func() int { return asked("v1", "reviews") }
	v := b.visitor(t, "")
	eventually(t, patience, "version 3 gets copies", func() error {
		if err := v.sees(t.Context(), "v1"); err != nil {
			return err
		}
		if copies() == 0 {
			return errors.New("none")
		}
		return nil
	})
	sent, before := requests(), copies()
	v.alwaysSees(t, "v1")
	eventually(t, patience, "a copy of each", func() error {
		// One of those before may still have been on its way.
		if count, got := requests()-sent, copies()-before; count < 25 || got < count || got > count+1 {
			return fmt.Errorf("%d copies of %d requests", got, count)
		}
		return nil
	})
}
