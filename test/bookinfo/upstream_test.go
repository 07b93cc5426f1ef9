// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	_ "github.com/isthmesh/isthmesh/controlplane/patch/extensions" // as the control plane has them
)

// upstreamFiles are those of Istio's samples/bookinfo that people apply or read,
// by path; the sources of its programs are left out.
func upstreamFiles(t *testing.T) map[string][]byte {
	t.Helper()
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "istio.io/istio")
	download.Dir = filepath.Join("..", "conformance", "echoadvanced")
	out, err := download.Output()
	var module struct{ Dir string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr != nil || module.Dir == "" {
		t.Fatalf("Istio's samples are not in the module cache: run `make prepare` (%v)", err)
	}
	dir := filepath.Join(module.Dir, "samples", "bookinfo")
	files := map[string][]byte{}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if err == nil && entry.Name() == "src" {
				return fs.SkipDir
			}
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			files[filepath.ToSlash(name)], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var (
	// row is a line of the document's table: a file, and what shows it.
	row = regexp.MustCompile("(?m)^\\| `([0-9A-Za-z/_-]+\\.[a-zA-Z]+)` \\| (.*) \\|$")
	// part is a part of the end-to-end test, as a row names it.
	part = regexp.MustCompile(`TestBookinfo/(\w+)`)
)

// docs/bookinfo.md says of each file of upstream's which test shows it, or why
// none does; and those tests are there.
func TestEachFileIsAccountedFor(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "bookinfo.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join("..", "e2e", "bookinfo_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if told[m[1]] {
			t.Errorf("%s is told twice", m[1])
		}
		told[m[1]] = true
		for _, name := range part.FindAllStringSubmatch(m[2], -1) {
			if !strings.Contains(string(tests), fmt.Sprintf("{%q, b.", name[1])) {
				t.Errorf("%s: there is no TestBookinfo/%s", m[1], name[1])
			}
		}
	}
	there := map[string]bool{}
	for name := range upstreamFiles(t) {
		there[name] = true
	}
	if diff := cmp.Diff(there, told); diff != "" {
		t.Errorf("files of upstream (-), and those of the document (+):\n%s", diff)
	}
}

// notForUs are the objects of upstream's files that nothing here acts on.
var notForUs = map[string][]string{
	"platform/kube/bookinfo-certificate.yaml": {"ClusterIssuer istio-system/letsencrypt-staging", "Certificate istio-system/istio-ingressgateway-certs"},
}

// right are the findings about upstream's files that are true.
var right = map[string][]string{
	// Its first route has no match.
	"networking/fault-injection-details-v1.yaml": {"NoEffect VirtualService/details spec.http[1]"},
}

// workloads are kinds of objects that are for the pods.
var workloads = regexp.MustCompile(`^(Deployment|ServiceAccount|Secret) `)

// Each object of upstream's files is taken whole beside the store: no field of
// it is refused, or has no effect.
func TestEachFileIsTakenWhole(t *testing.T) {
	files := upstreamFiles(t)
	store := slices.Concat(files["platform/kube/bookinfo.yaml"], []byte("\n---\n"), files["platform/kube/bookinfo-versions.yaml"], []byte("\n---\n"))
	for name, text := range files {
		// The first isn't an object, and the second is of istioctl, without a name.
		if filepath.Ext(name) != ".yaml" || name == "swagger.yaml" || name == "demo-profile-no-gateways.yaml" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if filepath.Dir(name) != "platform/kube" || name == "platform/kube/bookinfo-ingress.yaml" {
				text = slices.Concat(store, text)
			}
			objects, err := manifest.Read(text)
			if err != nil {
				t.Fatal(err)
			}
			objects.Settings = model.Settings{RootNamespace: "istio-system", TrustDomain: "cluster.local", DomainSuffix: "cluster.local", Cluster: "Kubernetes"}
			skipped := slices.DeleteFunc(objects.Skipped, workloads.MatchString)
			if diff := cmp.Diff(notForUs[name], skipped, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("skipped: %s", diff)
			}
			var found []string
			for _, p := range ingest.Build(objects.Input, nil).Mesh.Problems {
				found = append(found, p.Reason+" "+p.Kind+"/"+p.Name+" "+p.Field)
			}
			if diff := cmp.Diff(right[name], found); diff != "" {
				t.Errorf("problems: %s", diff)
			}
		})
	}
}

// Every path of upstream's description of the API answers.
func TestDescribedPaths(t *testing.T) {
	var described struct {
		BasePath string                    `json:"basePath"`
		Paths    map[string]map[string]any `json:"paths"`
	}
	if err := yaml.Unmarshal(upstreamFiles(t)["swagger.yaml"], &described); err != nil || len(described.Paths) == 0 {
		t.Fatalf("%d paths, %v", len(described.Paths), err)
	}
	s := store{reviews: reviews{color: "red"}}
	client := s.open(t)
	for path, methods := range described.Paths {
		for method := range methods {
			if method != "get" {
				t.Errorf("%s %s: want a test of it", method, path)
			}
		}
		path = described.BasePath + strings.ReplaceAll(path, "{id}", "0")
		if status, body := ask(t, client, s.base+path); status != http.StatusOK || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
