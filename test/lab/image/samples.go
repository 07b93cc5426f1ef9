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
	databases, err := build.Go(ctx, lab, build.Databases)
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
	return sampleRecipe(binary, databases, names)
}}}

// sample is what runs in an image of the given name.
type sample struct {
	program string
	env     []string
}

// The programs that the images have.
const (
	bookinfoPath  = "/usr/local/bin/bookinfo"
	databasesPath = "/usr/local/bin/databases"
)

// ofDatabases are the images whose program is one of the second binary.
var ofDatabases = map[string]sample{
	"examples-bookinfo-ratings-v2": {"ratings", []string{"SERVICE_VERSION=v2"}},
	"examples-bookinfo-mongodb":    {"mongodb", nil},
	"examples-bookinfo-mysqldb":    {"mysqldb", nil},
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
func sampleRecipe(binary, databases string, names []string) (Recipe, error) {
	files, err := base()
	if err != nil {
		return Recipe{}, err
	}
	r := Recipe{Name: "samples", User: sampleUser, Layers: [][]File{files, {
		{Path: databasesPath, Mode: 0o755, Source: databases},
		{Path: "/usr/bin/mysql", Mode: 0o777, Link: databasesPath},
		{Path: "/usr/bin/mongosh", Mode: 0o777, Link: databasesPath},
	}, {
		{Path: bookinfoPath, Mode: 0o755, Source: binary},
		// Tasks run these two in the pods.
		{Path: "/usr/bin/curl", Mode: 0o777, Link: bookinfoPath},
		{Path: "/bin/sleep", Mode: 0o777, Link: bookinfoPath},
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
	for _, one := range []struct {
		path     string
		programs map[string]sample
	}{{bookinfoPath, samplePrograms}, {databasesPath, ofDatabases}} {
		for _, name := range slices.Sorted(maps.Keys(one.programs)) {
			if len(byName[name]) == 0 {
				return Recipe{}, fmt.Errorf("image samples: no manifest of Istio's samples names %s", name)
			}
			s := one.programs[name]
			r.Variants = append(r.Variants, Variant{Entrypoint: []string{one.path, s.program}, Env: s.env, User: r.User, As: byName[name]})
		}
	}
	// By our own name anything of the first binary runs, as its arguments say.
	r.Variants = append(r.Variants, Variant{Entrypoint: []string{bookinfoPath}, User: r.User})
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
