// SPDX-License-Identifier: Apache-2.0

// Package envoybin finds the Envoy binary that tests run.
package envoybin

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Variable names an Envoy binary to use instead of the lab's.
const Variable = "ISTHMESH_ENVOY"

// where the lab keeps its copy, below the checkout.
var where = filepath.Join(".lab", "bin", "envoy")

// Path of the binary. A test that needs Envoy fails without it.
func Path(t testing.TB) string {
	t.Helper()
	path, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Find the binary: $ISTHMESH_ENVOY, else the lab's copy in this checkout. The
// error says how to get it.
func Find() (string, error) {
	if path := os.Getenv(Variable); path != "" {
		if !executable(path) {
			return "", fmt.Errorf("%s=%s is no program", Variable, path)
		}
		return path, nil
	}
	root, err := checkout()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, where)
	if !executable(path) {
		return "", fmt.Errorf("no Envoy at %s: run `make prepare`, or set %s", path, Variable)
	}
	return path, nil
}

// checkout is the nearest folder upwards that holds go.mod of the product.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "controlplane", "model")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not inside the checkout: set %s", dir, Variable)
		}
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
