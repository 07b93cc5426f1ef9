// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// Start starts a command that lives on when this process ends, and appends
// what it prints to a log.
func Start(log string, command ...string) (Identity, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return Identity{}, err
	}
	defer out.Close()
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Identity{}, err
	}
	// Wait for it, so that it does not stay a zombie if it ends before we do.
	go func() { _ = cmd.Wait() }()
	return Of(cmd.Process.Pid)
}
