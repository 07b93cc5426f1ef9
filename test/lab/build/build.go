// SPDX-License-Identifier: Apache-2.0

// Package build makes the lab's programs: it compiles Go programs, and fetches
// what is not Go (Envoy, Debian's packages). It comes before image and cluster,
// which take the programs from the lab's bin folder. It may be run again and
// again: what has not changed costs little.
package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/step"
)

// Program is a Go program of the checkout.
type Program struct {
	// Name is the file name that it gets in the lab's bin folder.
	Name string
	// Module is the folder of its module, and Package the one of its main
	// package below that; both relative, Module to the checkout.
	Module  string
	Package string
	// LDFlags is added to the linker's flags.
	LDFlags string
	// Tag is a build tag that the program needs.
	Tag string
}

// With returns the program with more flags for the linker.
func (p Program) With(ldflags string) Program {
	p.LDFlags = strings.TrimSpace(p.LDFlags + " " + ldflags)
	return p
}

// The programs of the lab itself, and those of the product.
var (
	CoreDNS      = Program{Name: "coredns", Module: "test/lab/coredns", Package: "."}
	Pause        = Program{Name: "pause", Module: "test/lab", Package: "./cmd/pause"}
	Echo         = Program{Name: "echo", Module: ".", Package: "./test/echo"}
	Bookinfo     = Program{Name: "bookinfo", Module: ".", Package: "./test/bookinfo"}
	Databases    = Program{Name: "databases", Module: "test/bookinfo/databases", Package: "."}
	OPA          = Program{Name: "opa", Module: "test/opa", Package: "."}
	Hub          = Program{Name: "hub", Module: ".", Package: "./cmd/hub"}
	ControlPlane = Program{Name: "istiod", Module: ".", Package: "./cmd/controlplane"}
	Agent        = Program{Name: "isthmesh-agent", Module: ".", Package: "./cmd/agent"}
)

// The programs of others that the Gateway API's conformance suite runs. Their
// packages are in modules that the folder's go.mod requires.
var (
	EchoBasic  = Program{Name: "echo-basic", Module: "test/conformance", Package: "sigs.k8s.io/gateway-api/conformance/echo-basic"}
	EchoServer = Program{Name: "echo-server", Module: "test/conformance/echoadvanced", Package: "istio.io/istio/pkg/test/echo/cmd/server"}
	EchoClient = Program{Name: "echo-client", Module: "test/conformance/echoadvanced", Package: "istio.io/istio/pkg/test/echo/cmd/client"}
)

// Go compiles a program into the lab's bin folder and returns its path. The
// same sources give the same bytes in any checkout.
func Go(ctx context.Context, lab layout.Lab, p Program) (string, error) {
	source := filepath.Join(lab.Checkout, p.Module)
	if strings.HasPrefix(p.Package, ".") {
		source = filepath.Join(source, p.Package)
	}
	if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("program %s: the checkout has no %s", p.Name, filepath.Join(p.Module, p.Package))
	}
	out := lab.Program(p.Name)
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-tags", p.Tag,
		"-ldflags", strings.TrimSpace("-s -w "+p.LDFlags), "-o", out, p.Package)
	cmd.Dir = filepath.Join(lab.Checkout, p.Module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("program %s: go build: %w\n%s", p.Name, err, strings.TrimSpace(string(text)))
	}
	return out, nil
}

// Lab makes everything that clusters are made of.
func Lab(ctx context.Context, lab layout.Lab, log *step.Log) error {
	if err := Packages(ctx, log); err != nil {
		return err
	}
	if err := os.MkdirAll(lab.Bin(), 0o755); err != nil {
		return err
	}
	if err := log.Long("build Kubernetes", "minutes on a cold cache, a second on a warm one", func() error {
		return kubernetes(ctx, lab)
	}); err != nil {
		return err
	}
	if err := log.Do("fetch Envoy "+envoyVersion, func() error {
		_, err := Envoy(ctx, lab)
		return err
	}); err != nil {
		return err
	}
	for _, program := range []Program{CoreDNS, Pause} {
		if err := log.Do("build "+program.Name, func() error {
			_, err := Go(ctx, lab, program)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// kubernetes compiles the one binary that all of Kubernetes' programs are in,
// with the version of the module that they come from, and links kubectl to it.
func kubernetes(ctx context.Context, lab layout.Lab) error {
	const module = "test/lab"
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	list.Dir = filepath.Join(lab.Checkout, module)
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("version of k8s.io/kubernetes: %w", err)
	}
	flags, err := versionFlags(strings.TrimSpace(string(out)))
	if err != nil {
		return err
	}
	kube := Program{Name: "kube", Module: module, Package: "./cmd/kube", LDFlags: flags, Tag: "kube"}
	if _, err := Go(ctx, lab, kube); err != nil {
		return err
	}
	kubectl := lab.Program("kubectl")
	if target, err := os.Readlink(kubectl); err == nil && target == kube.Name {
		return nil
	}
	if err := os.Remove(kubectl); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(kube.Name, kubectl)
}

// versionFlags are the linker flags that tell Kubernetes its version, which is
// otherwise v0.0.0.
func versionFlags(version string) (string, error) {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("version of k8s.io/kubernetes: want vX.Y.Z, got %q", version)
	}
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, value := range []string{"gitVersion=" + version, "gitMajor=" + parts[0], "gitMinor=" + parts[1], "gitTreeState=clean"} {
			flags = append(flags, "-X "+pkg+"."+value)
		}
	}
	return strings.Join(flags, " "), nil
}
