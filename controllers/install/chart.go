// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/isthmesh/isthmesh/charts"
)

// The charts.
const (
	Base    = "base"
	Istiod  = "istiod"
	Gateway = "gateway"
	Hub     = "hub"
)

// Charts names all charts, in the order in which they are installed.
func Charts() []string { return []string{Base, Istiod, Gateway, Hub} }

// mustHave are the files that come from elsewhere than the repository, or from
// another part of it, without which a chart is not whole: a glob and who makes them.
var mustHave = map[string][]struct{ glob, mend string }{
	Base: {
		{"crds/istio_*.yaml", "run `make generate` and build again"},
		{"crds/mcs_*.yaml", "run `make generate` and build again"},
		{"crds/gateway-api_*.yaml", "run `make generate` and build again"},
	},
	Istiod: {{"files/injection-template.yaml", "it belongs into charts/istiod/files"}},
	Hub:    {{"crds/federation.isthmesh.dev_*.yaml", "run `make generate-api` and build again"}},
}

// loaded is a chart with its definitions read.
type loaded struct {
	chart *chartv2.Chart
	crds  []*unstructured.Unstructured
}

// load reads each embedded chart once.
var load = func() func(string) (*loaded, error) {
	byName := map[string]func() (*loaded, error){}
	for _, name := range Charts() {
		byName[name] = sync.OnceValues(func() (*loaded, error) { return read(charts.FS, name) })
	}
	return func(name string) (*loaded, error) {
		if f, ok := byName[name]; ok {
			return f()
		}
		return nil, fmt.Errorf("no chart %q: there are %s", name, strings.Join(Charts(), ", "))
	}
}()

// read loads the chart in a folder of a file system. It tells which files it lacks.
func read(fsys fs.FS, name string) (*loaded, error) {
	var files []*archive.BufferedFile
	err := fs.WalkDir(fsys, name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == ".gitkeep" {
			return err
		}
		content, err := fs.ReadFile(fsys, file)
		files = append(files, &archive.BufferedFile{Name: strings.TrimPrefix(file, name+"/"), Data: content})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read chart %s: %w", name, err)
	}
	for _, want := range mustHave[name] {
		if !slices.ContainsFunc(files, func(f *archive.BufferedFile) bool {
			ok, _ := path.Match(want.glob, f.Name)
			return ok
		}) {
			return nil, fmt.Errorf("chart %s was built without %s: %s", name, want.glob, want.mend)
		}
	}
	chart, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("read chart %s: %w", name, err)
	}
	out := &loaded{chart: chart}
	for _, crd := range chart.CRDObjects() {
		objects, err := parse(crd.File.Data)
		if err != nil {
			return nil, fmt.Errorf("chart %s, %s: %w", name, crd.Name, err)
		}
		out.crds = append(out.crds, objects...)
	}
	return out, nil
}

// parse reads a stream of YAML documents into objects; empty documents are none.
func parse(content []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object) == 0 {
			continue
		}
		u := &unstructured.Unstructured{Object: object}
		if u.GetKind() == "" || u.GetAPIVersion() == "" || u.GetName() == "" {
			return nil, fmt.Errorf("an object lacks apiVersion, kind or metadata.name: it has apiVersion %q, kind %q, name %q", u.GetAPIVersion(), u.GetKind(), u.GetName())
		}
		out = append(out, u)
	}
}
