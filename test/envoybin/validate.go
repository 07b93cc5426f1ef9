// SPDX-License-Identifier: Apache-2.0

package envoybin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// sharing is a scope of statistics that listeners have in common.
var sharing = regexp.MustCompile(`,\s*"sharing(Name|_name)":\s*"[^"]*"|"sharing(Name|_name)":\s*"[^"]*",?`)

// Unshared is a configuration that Envoy can validate: it crashes when it validates one
// with shared scopes of statistics, though it runs it (1.40).
func Unshared(config []byte) []byte { return sharing.ReplaceAll(config, nil) }

// Validate asks Envoy whether it would start with a configuration. Envoy loads
// listeners, routes and clusters as it does at a start; it connects to nothing.
func Validate(t testing.TB, b *bootstrapv3.Bootstrap) error {
	t.Helper()
	text, err := protojson.Marshal(b)
	if err != nil {
		return err
	}
	path := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(path, Unshared(text), 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(t.Context(), Path(t), "--mode", "validate", "--log-level", "error", "--concurrency", "1", "-c", path).CombinedOutput()
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		return err
	}
	const most = 2000
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return fmt.Errorf("envoy refuses: %s", out)
}
