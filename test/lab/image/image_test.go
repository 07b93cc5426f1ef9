// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/isthmesh/isthmesh/test/lab/step"
)

// recipe writes a program and returns an image of it.
func recipe(t *testing.T, content string) Recipe {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	return Recipe{
		Name: "hub",
		Layers: [][]File{
			{{Path: "/tmp", Mode: 0o1777}, {Path: "/etc/passwd", Mode: 0o644, Data: []byte("root")}},
			{{Path: "/usr/local/bin/hub", Mode: 0o755, Source: program}},
		},
		Entrypoint: []string{"/usr/local/bin/hub"},
		User:       nobodyUser,
	}
}

func saved(t *testing.T, r Recipe) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := Save(r, "dev", path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSameFilesSameBytes(t *testing.T) {
	read := func() string {
		data, err := os.ReadFile(saved(t, recipe(t, "program")))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if first, second := read(), read(); first != second {
		t.Error("two images of the same files differ")
	}
}

func TestSavedImage(t *testing.T) {
	img, err := tarball.ImageFromPath(saved(t, recipe(t, "program")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	content := mutate.Extract(img)
	defer content.Close()
	type entry struct {
		Mode  int64
		Dir   bool
		Bytes string
	}
	got := map[string]entry{}
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.ModTime.Unix() != 0 {
			t.Errorf("%s: owner %d, time %v", header.Name, header.Uid, header.ModTime)
		}
		got[strings.TrimSuffix(header.Name, "/")] = entry{header.Mode, header.Typeflag == tar.TypeDir, string(data)}
	}
	want := map[string]entry{
		"etc":               {0o755, true, ""},
		"etc/passwd":        {0o644, false, "root"},
		"tmp":               {0o1777, true, ""},
		"usr":               {0o755, true, ""},
		"usr/local":         {0o755, true, ""},
		"usr/local/bin":     {0o755, true, ""},
		"usr/local/bin/hub": {0o755, false, "program"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestKey(t *testing.T) {
	key := func(r Recipe, tag string) string {
		key, err := r.Key(tag)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	base := key(recipe(t, "program"), "dev")
	if key(recipe(t, "program"), "dev") != base {
		t.Error("the key depends on more than the content")
	}
	other := recipe(t, "program")
	other.User = rootUser
	mode := recipe(t, "program")
	mode.Layers[0][0].Mode = 0o755
	for name, changed := range map[string]string{
		"Content": key(recipe(t, "other"), "dev"),
		"Tag":     key(recipe(t, "program"), "v1"),
		"User":    key(other, "dev"),
		"Mode":    key(mode, "dev"),
	} {
		if changed == base {
			t.Errorf("%s does not change the key", name)
		}
	}
}

func TestSaveSkipsWhatIsUnchanged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hub.tar")
	old := time.Unix(1000, 0)
	changed := func(content string) bool {
		if err := save(recipe(t, content), "dev", dir); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		wrote := !info.ModTime().Equal(old)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		return wrote
	}
	for i, c := range []struct {
		content string
		want    bool
	}{{"a", true}, {"a", false}, {"b", true}, {"b", false}} {
		if got := changed(c.content); got != c.want {
			t.Errorf("save %d of %q: wrote %t", i, c.content, got)
		}
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	log := step.New(io.Discard, time.Now)
	if err := Push(t.Context(), log, host, "v1", []Recipe{recipe(t, "program")}); err != nil {
		t.Fatal(err)
	}
	img, err := crane.Pull(host + "/isthmesh/hub:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/usr/local/bin/hub"}, config.Config.Entrypoint); diff != "" {
		t.Error(diff)
	}
	server.Close()
	if err := Push(t.Context(), log, host, "v1", []Recipe{recipe(t, "program")}); err == nil || !strings.Contains(err.Error(), host) {
		t.Errorf("push to a registry that is gone: %v", err)
	}
}

func TestProxyHasItsLibraries(t *testing.T) {
	// Any dynamically linked program stands for Envoy.
	r, err := Proxy("/bin/sh", "/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	var libc, linker, writable bool
	for _, file := range r.Layers[0] {
		libc = libc || strings.HasPrefix(filepath.Base(file.Path), "libc.so")
		linker = linker || strings.HasPrefix(filepath.Base(file.Path), "ld-")
		writable = writable || file.Path == "/etc/istio/proxy" && file.Owner == sidecarID
	}
	if !libc || !linker || !writable {
		t.Errorf("libc %t, linker %t, writable folder %t", libc, linker, writable)
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(nil); err != nil || len(all) != len(Product)+len(LabOnly) {
		t.Errorf("got %d images, %v", len(all), err)
	}
	if _, err := choose([]string{"nosuch"}); err == nil || !strings.Contains(err.Error(), "hub") {
		t.Errorf("got %v, want the names that there are", err)
	}
}
