// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/isthmesh/isthmesh/test/lab/layout"
)

// Upstream returns the folder of Istio's own sources, of the version that the
// conformance suite's echo is built from. What the module cache lacks is fetched.
func Upstream(ctx context.Context, lab layout.Lab) (string, error) {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", "istio.io/istio")
	download.Dir = filepath.Join(lab.Checkout, EchoServer.Module)
	// On failure the reason is in what it prints.
	out, runErr := download.Output()
	var module struct{ Dir, Error string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("fetch Istio's sources: %w", errors.Join(runErr, err))
	}
	if module.Error != "" || module.Dir == "" {
		return "", fmt.Errorf("fetch Istio's sources: %s", module.Error)
	}
	return module.Dir, nil
}
