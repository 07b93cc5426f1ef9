// SPDX-License-Identifier: Apache-2.0

// Command crds writes the definitions of the APIs that a mesh speaks into the base
// chart: our own, and those of others. These it takes out of the modules that go.mod pins, so
// what is installed and what the Go types say are one version. `make generate`
// runs it from the repository's root.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// source is where one module keeps its definitions; without a module it is this repository.
type source struct{ module, glob, prefix string }

// The Gateway API comes in its experimental channel: it has every kind of the
// standard one, and the fields that only it has, such as retries, work.
var sources = []source{
	{module: "istio.io/api", glob: "kubernetes/customresourcedefinitions.gen.yaml", prefix: "istio"},
	{module: "sigs.k8s.io/mcs-api", glob: "config/crd/*.yaml", prefix: "mcs"},
	{glob: "config/crd/policy/*.yaml", prefix: "isthmesh"},
	{module: "sigs.k8s.io/gateway-api", glob: "config/crd/experimental/gateway.networking.k8s.io_*.yaml", prefix: "gateway-api"},
}

func main() {
	out := flag.String("out", "charts/base/crds", "folder to write the definitions to; its *.yaml files are replaced")
	flag.Parse()
	if err := run(context.Background(), *out, sources); err != nil {
		fmt.Fprintln(os.Stderr, "crds:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, from []source) error {
	written := map[string]bool{}
	for _, s := range from {
		dir := "."
		if s.module != "" {
			var err error
			if dir, err = moduleDir(ctx, s.module); err != nil {
				return err
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(s.glob)))
		if err != nil {
			return fmt.Errorf("module %q: pattern %q: %w", s.module, s.glob, err)
		}
		if len(files) == 0 {
			return fmt.Errorf("module %q has no file %s: has it moved in a newer version?", s.module, s.glob)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			documents, err := definitions(content)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			for name, document := range documents {
				target := s.prefix + "_" + name + ".yaml"
				if err := replace(filepath.Join(out, target), document); err != nil {
					return err
				}
				written[target] = true
			}
		}
	}
	return removeOthers(out, written)
}

// moduleDir is where the module cache holds a module of go.mod; it is
// downloaded when it isn't there.
func moduleDir(ctx context.Context, module string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	var found struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil && err == nil {
		err = jsonErr
	}
	switch {
	case found.Error != "":
		return "", fmt.Errorf("find module %s: %s", module, found.Error)
	case err != nil:
		return "", fmt.Errorf("find module %s: %w", module, err)
	}
	return found.Dir, nil
}

// definitions splits a stream of YAML documents and keeps the
// CustomResourceDefinitions, by their name.
func definitions(content []byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var head struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			return nil, err
		}
		if head.Kind == "CustomResourceDefinition" {
			out[head.Metadata.Name] = document
		}
	}
}

// replace writes a file only when its content differs, so that a build that
// depends on it isn't made stale.
func replace(path string, content []byte) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, content) {
		return nil
	}
	return os.WriteFile(path, content, 0o644)
}

// removeOthers deletes definitions that no module has any more.
func removeOthers(out string, keep map[string]bool) error {
	files, err := filepath.Glob(filepath.Join(out, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if !keep[filepath.Base(file)] {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}
