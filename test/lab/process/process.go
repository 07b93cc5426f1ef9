// SPDX-License-Identifier: Apache-2.0

// Package process names a process of this machine so that the name can be
// written to a file and never means another process later: process ids are
// used again, so the record holds the start time and the boot too. `lab up`
// records, `lab down` ends what is recorded.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Identity is one process, for as long as the machine is not started again.
type Identity struct {
	PID int `json:"pid"`
	// Start is the time of the process's start, in clock ticks since the boot.
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
}

// ErrGone says that no such process runs any more.
var ErrGone = errors.New("process is gone")

// Of identifies a running process. It returns ErrGone if there is none.
func Of(pid int) (Identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return Identity{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	if err != nil {
		return Identity{}, err
	}
	state, start, err := parseStat(string(stat))
	if err != nil {
		return Identity{}, fmt.Errorf("process %d: %w", pid, err)
	}
	if state == "Z" || state == "X" {
		return Identity{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, err
	}
	return Identity{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// parseStat takes the state (3rd) and the start time (22nd field) out of
// /proc/PID/stat. The 2nd field is the command's name in brackets, which may
// hold blanks and brackets itself.
func parseStat(stat string) (state string, start uint64, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return "", 0, fmt.Errorf("unreadable stat %q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return "", 0, fmt.Errorf("stat has %d fields after the name, want 20", len(fields))
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0], start, err
}

// Alive tells whether exactly this process still runs.
func (id Identity) Alive() bool {
	now, err := Of(id.PID)
	return err == nil && now == id
}

// Kill ends the process and waits until it is gone. The kernel ends with it
// every process of the PID namespace that it is the first of. A process that
// runs no more is no error.
func (id Identity) Kill(ctx context.Context) error {
	// The descriptor holds on to the process, so that between the check and
	// the signal nobody else can get its id.
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", id.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !id.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", id.PID, err)
	}
	for id.Alive() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("process %d does not end: %w", id.PID, err)
		}
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, int((100 * time.Millisecond).Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", id.PID, err)
		}
	}
	return nil
}

// Write records the process in a file.
func (id Identity) Write(path string) error {
	data, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// Read returns the process that a file records; an error that is
// fs.ErrNotExist means that none was recorded.
func Read(path string) (Identity, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, err
	}
	var id Identity
	if err := json.Unmarshal(data, &id); err != nil {
		return Identity{}, fmt.Errorf("record %s: %w", path, err)
	}
	return id, nil
}
