// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// manifest names an image in each way that upstream's do.
const manifest = `
containers:
- name: reviews
  image: registry.example/release/examples-bookinfo-reviews-v3:1.2 # with a remark
- image: "docker.example/other/thing:v1"
#  image: registry.example/commented:out
`

func TestNamedImages(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{"a.yaml": manifest, "deep/b.yaml": manifest, "c.txt": "image: no:yaml"} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := namedImages(dir)
	want := []string{"docker.example/other/thing:v1", "registry.example/release/examples-bookinfo-reviews-v3:1.2"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// named are names for all sample images, and one that nothing stands in for.
func named() []string {
	names := []string{"docker.example/others/database:v1"}
	for _, programs := range []map[string]sample{samplePrograms, ofDatabases} {
		for n := range programs {
			if !strings.Contains(n, "-v-") {
				names = append(names, "registry.example/release/"+n+":1.2")
			}
		}
	}
	slices.Sort(names)
	return names
}

// One tarball has an image under each name, with the environment of its
// version and with links to its programs.
func TestSampleImages(t *testing.T) {
	program := filepath.Join(t.TempDir(), "bookinfo")
	if err := os.WriteFile(program, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := sampleRecipe(program, program, named())
	if err != nil {
		t.Fatal(err)
	}
	path := saved(t, r)
	for image, want := range map[string]struct {
		args []string
		env  string
	}{
		"registry.example/release/examples-bookinfo-reviews-v3:1.2":       {[]string{"/usr/local/bin/bookinfo", "reviews"}, "STAR_COLOR=red"},
		"registry.example/release/examples-bookinfo-ratings-v-faulty:1.2": {[]string{"/usr/local/bin/bookinfo", "ratings"}, "SERVICE_VERSION=v-faulty"},
		"registry.example/release/examples-bookinfo-ratings-v2:1.2":       {[]string{"/usr/local/bin/databases", "ratings"}, "SERVICE_VERSION=v2"},
		"registry.example/release/examples-bookinfo-mysqldb:1.2":          {[]string{"/usr/local/bin/databases", "mysqldb"}, ""},
		"isthmesh/samples:dev": {[]string{"/usr/local/bin/bookinfo"}, ""},
	} {
		tag, err := name.NewTag(image)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(path, &tag)
		if err != nil {
			t.Errorf("%s: %v", image, err)
			continue
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.args, config.Config.Entrypoint); diff != "" {
			t.Errorf("%s: %s", image, diff)
		}
		if want.env != "" && !slices.Contains(config.Config.Env, want.env) {
			t.Errorf("%s: no %s in %v", image, want.env, config.Config.Env)
		}
		if config.Config.User != sampleUser {
			t.Errorf("%s runs as %s", image, config.Config.User)
		}
		links := map[string]string{}
		content := mutate.Extract(img)
		for archive := tar.NewReader(content); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if header.Typeflag == tar.TypeSymlink {
				links[header.Name] = header.Linkname
			}
		}
		content.Close()
		if diff := cmp.Diff(map[string]string{
			"usr/bin/curl": bookinfoPath, "bin/sleep": bookinfoPath, "usr/bin/mysql": databasesPath, "usr/bin/mongosh": databasesPath,
		}, links); diff != "" {
			t.Errorf("%s: %s", image, diff)
		}
	}
	if _, err := tarball.ImageFromPath(path, nil); err == nil {
		t.Error("the tarball has one image only")
	}
}

// A name that is gone from the manifests is told, not passed over.
func TestSampleWithoutManifest(t *testing.T) {
	names := slices.DeleteFunc(named(), func(n string) bool { return strings.Contains(n, "helloworld-v2") })
	if _, err := sampleRecipe("program", "program", names); err == nil || !strings.Contains(err.Error(), "examples-helloworld-v2") {
		t.Errorf("got %v, want an error that names the image", err)
	}
}

// What sets variants and links apart is part of the key.
func TestKeyOfVariants(t *testing.T) {
	seen := map[string]string{}
	for what, change := range map[string]func(*Recipe){
		"None":     func(*Recipe) {},
		"Env":      func(r *Recipe) { r.Variants[0].Env = []string{"A=b"} },
		"Name":     func(r *Recipe) { r.Variants[0].As = []string{"a:b"} },
		"Link":     func(r *Recipe) { r.Layers[0][0].Link = "/other" },
		"OwnEnv":   func(r *Recipe) { r.Env = []string{"A=b"} },
		"OneFewer": func(r *Recipe) { r.Variants = nil },
	} {
		r := Recipe{Name: "samples", Layers: [][]File{{{Path: "/a", Link: "/b"}}}, Variants: []Variant{{User: sampleUser}}}
		change(&r)
		key, err := r.Key("dev")
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := seen[key]; taken {
			t.Errorf("%s and %s have one key", what, other)
		}
		seen[key] = what
	}
}
