// SPDX-License-Identifier: Apache-2.0

// Package process runs Envoy as a child of the agent: started once, given the
// signals that the agent gets, and gone when the agent is.
package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Options of one run.
type Options struct {
	// Path of the binary and of its bootstrap.
	Path, Bootstrap string
	// Concurrency is the number of workers; 0 means one for each processor.
	Concurrency int
	// DrainTime is how long a listener that is drained stays open.
	DrainTime time.Duration
	// FlushInterval is how long access logs wait in memory.
	FlushInterval time.Duration
	// FlushKilobytes is how much of them may wait; 0 is Envoy's own default.
	FlushKilobytes uint32
	// LogLevel ("warning"), and ComponentLogLevel ("misc:error").
	LogLevel, ComponentLogLevel string
	// Environment of Envoy, as "NAME=value".
	Environment []string
	// Output takes Envoy's log and its access log.
	Output io.Writer
}

// Args are Envoy's arguments.
func Args(o Options) []string {
	args := []string{
		"-c", o.Bootstrap,
		"--drain-time-s", strconv.Itoa(int(o.DrainTime / time.Second)),
		// From the first moment of a drain on, every answer tells the client.
		"--drain-strategy", "immediate",
		// One Envoy in a pod: nobody hands listeners over.
		"--disable-hot-restart",
		"--file-flush-interval-msec", strconv.FormatInt(max(o.FlushInterval.Milliseconds(), 1), 10),
		"--log-format", "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t",
		"-l", o.LogLevel,
	}
	if o.FlushKilobytes > 0 {
		args = append(args, "--file-flush-min-size-kb", strconv.FormatUint(uint64(o.FlushKilobytes), 10))
	}
	if o.ComponentLogLevel != "" {
		args = append(args, "--component-log-level", o.ComponentLogLevel)
	}
	if o.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(o.Concurrency))
	}
	return args
}

// Envoy is a running child.
type Envoy struct {
	command *exec.Cmd
	done    chan struct{}
	code    int
}

// Start runs Envoy.
func Start(o Options) (*Envoy, error) {
	command := exec.Command(o.Path, Args(o)...) //nolint:noctx // it is drained before it is stopped, by Stop
	command.Stdout, command.Stderr = o.Output, o.Output
	// Nothing else of the agent's environment is for Envoy.
	command.Env = append([]string{}, o.Environment...)
	// A pipe that somebody else still holds must not keep the agent waiting.
	command.WaitDelay = time.Second
	// The signals of a terminal reach the agent alone; the agent's death is Envoy's.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	e := &Envoy{command: command, done: make(chan struct{})}
	started := make(chan error)
	go e.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Path, err)
	}
	return e, nil
}

// Done is closed when Envoy has ended.
func (e *Envoy) Done() <-chan struct{} { return e.done }

// Code is Envoy's exit code, or 128 plus the signal that ended it. It holds
// after Done is closed.
func (e *Envoy) Code() int { return e.code }

// Signal sends a signal to Envoy; one that has ended already is no error.
func (e *Envoy) Signal(s os.Signal) error {
	if err := e.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal envoy: %w", err)
	}
	return nil
}

// Stop ends Envoy: SIGTERM, and SIGKILL after patience. It returns when Envoy has ended.
func (e *Envoy) Stop(patience <-chan time.Time) error {
	if err := e.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-e.done:
		return nil
	case <-patience:
	}
	if err := e.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-e.done
	return nil
}
