// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// maxSaid of Envoy in an error, in bytes.
const maxSaid = 600

// patience with an Envoy that validates: it neither listens nor calls anybody.
const patience = 20 * time.Second

// Validate asks Envoy whether it would start with a bootstrap. The error has what
// Envoy says.
func Validate(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, o.Path, "--mode", "validate", "-c", o.Bootstrap, "--disable-hot-restart", "--concurrency", "1", "-l", "error", "--log-format", "%v")
	command.Env = append([]string{}, o.Environment...)
	command.WaitDelay = time.Second
	out, err := command.CombinedOutput()
	if err == nil {
		return nil
	}
	said := strings.TrimSpace(strings.ToValidUTF8(string(out), ""))
	if len(said) > maxSaid {
		said = strings.ToValidUTF8(said[:maxSaid], "") + "…"
	}
	return fmt.Errorf("envoy does not take the bootstrap (%w): %s", err, said)
}
