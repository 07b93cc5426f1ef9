// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// bookinfo is the sample in west, from upstream's manifests as they are.
type bookinfo struct {
	// samples is the folder of upstream's manifests and configurations.
	samples string
	// address is where the ingress gateway is reached.
	address string
	// authority is who certified the stand-in outside the mesh, as PEM.
	authority string
}

// The namespaces of the test: the last one is outside the mesh.
const (
	bookinfoNamespace = "bookinfo"
	ingressNamespace  = "istio-ingress"
	outsideNamespace  = "books"
)

// Bookinfo's manifests and sample configurations behave as their tasks say.
func TestBookinfo(t *testing.T) {
	lab(t, "images", "--only", "samples")
	lab(t, "load", "west", "east")
	b := &bookinfo{samples: labSamples(t)}
	t.Cleanup(func() { b.removeAll(t) })
	b.namespace(t, "west")
	b.outside(t)
	b.kubectl(t, "west", "apply", "-f", b.file("bookinfo/platform/kube/bookinfo.yaml"), "-f", b.file("curl/curl.yaml"))
	b.ingress(t)
	b.available(t, "west")

	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"GetStarted", b.getStarted},
		{"Ingress", b.ingressRoutes},
		{"KubernetesIngress", b.kubernetesIngress},
		{"NodePort", b.nodePort},
		{"CertManager", b.certManager},
		{"RequestRouting", b.requestRouting},
		{"TrafficShifting", b.trafficShifting},
		{"MutualTLS", b.mutualTLS},
		{"Delay", b.delay},
		{"Abort", b.abort},
		{"DetailsFault", b.detailsFault},
		{"Mirror", b.mirror},
		{"Egress", b.egress},
		{"Databases", b.databases},
		{"GatewayAPI", b.gatewayAPI},
		{"SplitOverMembers", b.split},
		{"Parts", b.parts},
	} {
		t.Run(part.name, part.run)
	}
}

// labSamples is the folder of upstream's samples.
func labSamples(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := run(ctx, "", "lab", "samples")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (b *bookinfo) file(name string) string { return filepath.Join(b.samples, name) }

// kubectl runs kubectl in Bookinfo's namespace.
func (b *bookinfo) kubectl(t *testing.T, cluster string, args ...string) string {
	t.Helper()
	return kubectl(t, cluster, append([]string{"-n", bookinfoNamespace}, args...)...)
}

// namespace makes Bookinfo's namespace, with injection.
func (b *bookinfo) namespace(t *testing.T, cluster string) {
	t.Helper()
	kubectl(t, cluster, "create", "namespace", bookinfoNamespace)
	kubectl(t, cluster, "label", "namespace", bookinfoNamespace, "istio-injection=enabled")
}

// removeAll removes the namespaces of the test, all at the same time.
func (b *bookinfo) removeAll(t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	for cluster, namespaces := range map[string][]string{"west": {bookinfoNamespace, ingressNamespace, outsideNamespace, machineNamespace}, "east": {bookinfoNamespace}} {
		all.Go(func() {
			if _, err := try(t, cluster, append([]string{"delete", "namespace", "--ignore-not-found"}, namespaces...)...); err != nil {
				t.Errorf("%s: %v", cluster, err)
			}
		})
	}
	all.Wait()
}

// available waits until all deployments are.
func (b *bookinfo) available(t *testing.T, cluster string) {
	t.Helper()
	for _, d := range strings.Fields(b.kubectl(t, cluster, "get", "deployments", "-o", "name")) {
		b.kubectl(t, cluster, "rollout", "status", d, "--timeout=10m")
	}
}

// ingress installs the gateway's chart as upstream's ingress gateway.
func (b *bookinfo) ingress(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	// Bookinfo's Gateway names the port of the pods, 8080.
	if _, err := run(ctx, "", "helm", "install", "istio-ingressgateway", "charts/gateway", "-n", ingressNamespace, "--create-namespace",
		"--kubeconfig", kubeconfig("west"), "--wait", "--timeout", "10m", "--set", "global.multiCluster.clusterName=west,global.network=west",
		"--set", "global.meshID=shop,trustDomain=west.shop.example",
		"--set", "service.ports[0].name=http2,service.ports[0].port=80,service.ports[0].targetPort=8080"); err != nil {
		t.Fatal(err)
	}
	b.address = kubectl(t, "west", "-n", ingressNamespace, "get", "service", "istio-ingressgateway", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
}

// config applies upstream's files until the test ends.
func (b *bookinfo) config(t *testing.T, files ...string) {
	t.Helper()
	var args []string
	for _, f := range files {
		args = append(args, "-f", b.file("bookinfo/"+f))
	}
	b.kubectl(t, "west", append([]string{"apply"}, args...)...)
	t.Cleanup(func() {
		if _, err := try(t, "west", append([]string{"-n", bookinfoNamespace, "delete", "--ignore-not-found"}, args...)...); err != nil {
			t.Error(err)
		}
	})
}

// visitor is a user with a browser.
type visitor struct {
	address string
	client  *http.Client
}

// visitor comes to the ingress gateway, and logs in if it has a name.
func (b *bookinfo) visitor(t *testing.T, name string) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := visitor{b.address, &http.Client{Jar: jar, Timeout: time.Minute}}
	if name == "" {
		return v
	}
	eventually(t, patience, name+" logs in", func() error {
		answer, err := v.client.PostForm("http://"+b.address+"/login", url.Values{"username": {name}, "passwd": {"any"}})
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if len(jar.Cookies(answer.Request.URL)) == 0 {
			return fmt.Errorf("status %s and no cookie", answer.Status)
		}
		return nil
	})
	return v
}

// page is what a visitor sees.
type page struct {
	status int
	// version of reviews, and who served it; stars are none, black or red.
	version, pod, stars string
	body                string
	took                time.Duration
}

func (p page) has(text string) bool { return strings.Contains(p.body, text) }

// see reads a page of the store as people do.
func (v visitor) see(ctx context.Context, path string) (page, error) {
	start := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.address+path, http.NoBody)
	if err != nil {
		return page{}, err
	}
	answer, err := v.client.Do(request)
	if err != nil {
		return page{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return page{}, err
	}
	p := readPage(string(body))
	p.status, p.took = answer.StatusCode, time.Since(start)
	return p, nil
}

var (
	servedBy = regexp.MustCompile(`Reviews served by:\s+(reviews-(v\d)-[^\s<]+)`)
	starsOf  = regexp.MustCompile(`<font color="(\w+)"`)
)

func readPage(body string) page {
	p := page{status: http.StatusOK, stars: "none", body: body}
	if m := servedBy.FindStringSubmatch(body); m != nil {
		p.pod, p.version = m[1], m[2]
	}
	if m := starsOf.FindStringSubmatch(body); m != nil && strings.Contains(body, "glyphicon-star") {
		p.stars = m[1]
	}
	return p
}

// starsOfVersion are the stars that each version of reviews shows.
var starsOfVersion = map[string]string{"v1": "none", "v2": "black", "v3": "red"}

// sees is nil if the next page has reviews of a version, whole.
func (v visitor) sees(ctx context.Context, version string) error {
	p, err := v.see(ctx, "/productpage")
	if err != nil {
		return err
	}
	if p.status != http.StatusOK || p.version != version || p.stars != starsOfVersion[version] || p.has("unavailable") {
		return fmt.Errorf("status %d, reviews %q with %s stars, want %s with %s:\n%s", p.status, p.version, p.stars, version, starsOfVersion[version], p.body)
	}
	return nil
}

// alwaysSees waits until a visitor sees a version, and then wants nothing else.
func (v visitor) alwaysSees(t *testing.T, version string) {
	t.Helper()
	sees := func() error { return v.sees(t.Context(), version) }
	eventually(t, patience, "reviews "+version, sees)
	inARow(t, 25, "reviews "+version, sees)
}

// givesUp is how soon a service of the store shows a page without what another one has not told.
const givesUp = 2500 * time.Millisecond

// inARow wants something to be so some times in a row. Where the machine stalled for as long as the
// store is patient, the page says nothing of the mesh, and counting begins again.
func inARow(t *testing.T, times int, what string, check func() error) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("%s, %d times in a row", what, times), func() error {
		for range times {
			start := time.Now()
			if err := check(); err != nil {
				if time.Since(start) < givesUp {
					t.Fatalf("%s, and then: %v", what, err)
				}
				return err
			}
		}
		return nil
	})
}

// counts is what the sample's load program prints.
type counts struct {
	Statuses map[string]int `json:"statuses"`
	PodNames map[string]int `json:"podnames"`
	// First and Last are when each pod answered, from the start.
	First map[string]string `json:"first"`
	Last  map[string]string `json:"last"`
	// Errors are what was answered, or went wrong, where nobody gave his name.
	Errors map[string]int `json:"errors"`
}

// versions of reviews, with how many answers each gave.
func (c counts) versions() map[string]int {
	all := map[string]int{}
	for pod, n := range c.PodNames {
		version := pod
		if parts := strings.Split(pod, "-"); len(parts) > 1 {
			version = parts[1]
		}
		all[version] += n
	}
	return all
}

// load sends requests to reviews from the curl pod in west.
func (b *bookinfo) load(t *testing.T, count int) counts {
	t.Helper()
	out := b.kubectl(t, "west", "exec", "deployment/curl", "-c", "curl", "--",
		"/usr/local/bin/bookinfo", "load", "--count", fmt.Sprint(count), "http://reviews:9080/health")
	var c counts
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return c
}

// tolerance is how many percent points a share may be wrong.
const tolerance = 3

// enough requests that chance alone is wrong by more than the tolerance less
// than once in 100,000 times: 4.6 standard deviations.
func enough(want map[string]int) int {
	count := 500
	for _, percent := range want {
		p := float64(percent) / 100
		count = max(count, int(p*(1-p)*math.Pow(4.6/(tolerance/100.0), 2)))
	}
	return count
}

// shares waits until just the wanted versions answer, and then wants each one's
// share, in percent, to be right within the tolerance.
func (b *bookinfo) shares(t *testing.T, want map[string]int) {
	t.Helper()
	expected := slices.Sorted(maps.Keys(want))
	effect := eventually(t, patience, "only the wanted versions answer", func() error {
		got := b.load(t, 200).versions()
		if versions := slices.Sorted(maps.Keys(got)); !slices.Equal(versions, expected) {
			return fmt.Errorf("%v, want %v", got, expected)
		}
		return nil
	})
	count := enough(want)
	c := b.load(t, count)
	if c.Statuses["200"] != count {
		t.Errorf("statuses %v, want 200 only: %v", c.Statuses, c.Errors)
	}
	got := c.versions()
	t.Logf("in effect after %s; %d requests: %v", effect, count, got)
	for _, version := range slices.Sorted(maps.Keys(got)) {
		share := 100 * float64(got[version]) / float64(count)
		if want[version] == 0 {
			t.Errorf("%s is not to answer at all, and does so %d times: first %v, last %v", version, got[version], c.First, c.Last)
		}
		if math.Abs(share-float64(want[version])) > tolerance {
			t.Errorf("%s answers %.1f %%, want %d %%", version, share, want[version])
		}
	}
}
