// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/agent/probe"
)

const (
	// maxBody is as much as is read of an answer, or of what a command writes.
	maxBody = 10 << 10
	// maxQuoted is as much as is told of it.
	maxQuoted = 200
)

// get is nil if the answer's status is from 200 to 399.
func get(asker *probe.Asker, request *http.Request) error {
	response, err := asker.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if response.StatusCode < 200 || response.StatusCode > 399 {
		return fmt.Errorf("GET %s answers %d%s", request.URL, response.StatusCode, quoted(body))
	}
	return nil
}

// execute is nil if the command ends with code 0. When the context ends before,
// the command and all that it started is killed.
func execute(ctx context.Context, command []string) error {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	// Who left the group and still holds the output must not keep the probe waiting.
	c.WaitDelay = time.Second
	output := &head{}
	c.Stdout, c.Stderr = output, output
	err := c.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not end in time and was killed: %w", command[0], ctx.Err())
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	default:
		return fmt.Errorf("%s: %w%s", command[0], err, quoted(output.Bytes()))
	}
}

// head keeps the beginning of what is written.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), max(maxBody-h.Len(), 0))])
	return len(p), nil
}

// quoted is the beginning of a text, to be put behind an error.
func quoted(text []byte) string {
	said := strings.TrimSpace(strings.ToValidUTF8(string(text[:min(len(text), maxQuoted)]), "?"))
	if said == "" {
		return ""
	}
	return ": " + said
}
