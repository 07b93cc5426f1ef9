// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/build"
	"github.com/isthmesh/isthmesh/test/lab/layout"
)

// Samples are made only when named: the images that the manifests of Istio's
// samples name, all in one tarball, so that these run unchanged, and the sample
// of an external authorizer.
var Samples = []string{"samples", "opa"}

var samples = []source{static("opa", "/opa", build.OPA, nobodyUser), {"samples", func(ctx context.Context, lab layout.Lab, _ string) (Recipe, error) {
	binary, err := build.Go(ctx, lab, build.Bookinfo)
	if err != nil {
		return Recipe{}, err
	}
	istio, err := build.Upstream(ctx, lab)
	if err != nil {
		return Recipe{}, err
	}
	names, err := namedImages(filepath.Join(istio, "samples"))
	if err != nil {
		return Recipe{}, err
	}
	return sampleRecipe(binary, names)
}}}

// sample is what runs in an image of the given name.
type sample struct {
	program string
	env     []string
}

var samplePrograms = map[string]sample{
	"examples-bookinfo-productpage-v1":         {"productpage", nil},
	"examples-bookinfo-productpage-v-flooding": {"productpage", []string{"FLOOD_FACTOR=100"}},
	"examples-bookinfo-details-v1":             {"details", []string{"SERVICE_VERSION=v1"}},
	"examples-bookinfo-details-v2":             {"details", []string{"SERVICE_VERSION=v2", "ENABLE_EXTERNAL_BOOK_SERVICE=true"}},
	"examples-bookinfo-reviews-v1":             {"reviews", []string{"SERVICE_VERSION=v1"}},
	"examples-bookinfo-reviews-v2":             {"reviews", []string{"SERVICE_VERSION=v2", "ENABLE_RATINGS=true"}},
	"examples-bookinfo-reviews-v3":             {"reviews", []string{"SERVICE_VERSION=v3", "ENABLE_RATINGS=true", "STAR_COLOR=red"}},
	"examples-bookinfo-ratings-v1":             {"ratings", []string{"SERVICE_VERSION=v1"}},
	"examples-bookinfo-ratings-v-faulty":       {"ratings", []string{"SERVICE_VERSION=v-faulty"}},
	"examples-bookinfo-ratings-v-delayed":      {"ratings", []string{"SERVICE_VERSION=v-delayed"}},
	"examples-bookinfo-ratings-v-unavailable":  {"ratings", []string{"SERVICE_VERSION=v-unavailable"}},
	"examples-bookinfo-ratings-v-unhealthy":    {"ratings", []string{"SERVICE_VERSION=v-unhealthy"}},
	"examples-helloworld-v1":                   {"helloworld", []string{"SERVICE_VERSION=v1"}},
	"examples-helloworld-v2":                   {"helloworld", []string{"SERVICE_VERSION=v2"}},
	"tcp-echo-server":                          {"tcp-echo", nil},
	"go-httpbin":                               {"httpbin", nil},
	"curl":                                     {"sleep", nil},
}

// likeRatings are versions of ratings that no manifest names: they are where
// the first version is, and have its tag.
const likeRatings = "examples-bookinfo-ratings-v1"

// sampleRecipe is the recipe of all sample images, for the names that manifests
// give them. Names that nothing here stands in for are passed over.
func sampleRecipe(binary string, names []string) (Recipe, error) {
	files, err := base()
	if err != nil {
		return Recipe{}, err
	}
	const target = "/usr/local/bin/bookinfo"
	r := Recipe{Name: "samples", User: sampleUser, Layers: [][]File{files, {
		{Path: target, Mode: 0o755, Source: binary},
		// Tasks run these two in the pods.
		{Path: "/usr/bin/curl", Mode: 0o777, Link: target},
		{Path: "/bin/sleep", Mode: 0o777, Link: target},
	}}}
	byName := map[string][]string{}
	for _, n := range names {
		repository, tag, _ := strings.Cut(path.Base(n), ":")
		byName[repository] = append(byName[repository], n)
		if repository == likeRatings {
			for _, version := range []string{"ratings-v-faulty", "ratings-v-delayed", "ratings-v-unavailable", "ratings-v-unhealthy", "productpage-v-flooding"} {
				other := "examples-bookinfo-" + version
				byName[other] = append(byName[other], path.Dir(n)+"/"+other+":"+tag)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(samplePrograms)) {
		if len(byName[name]) == 0 {
			return Recipe{}, fmt.Errorf("image samples: no manifest of Istio's samples names %s", name)
		}
		s := samplePrograms[name]
		r.Variants = append(r.Variants, Variant{Entrypoint: []string{target, s.program}, Env: s.env, User: r.User, As: byName[name]})
	}
	// By our own name anything of the binary runs, as its arguments say.
	r.Variants = append(r.Variants, Variant{Entrypoint: []string{target}, User: r.User})
	return r, nil
}

var imageLine = regexp.MustCompile(`(?m)^[\s-]*image: *"?([^\s"#]+:[^\s"#]+)`)

// namedImages are the images that the manifests of a folder name, each once.
func namedImages(dir string) ([]string, error) {
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range imageLine.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
		return err
	})
	return slices.Sorted(maps.Keys(found)), err
}
