// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/layout"
)

// State is how a component is.
type State struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	// Ended says how the component ended; it is empty while it runs.
	Ended string `json:"ended,omitempty"`
}

// ReadStates returns the states that the node of a cluster wrote last.
func ReadStates(d layout.Cluster) ([]State, error) {
	data, err := os.ReadFile(d.States())
	if err != nil {
		return nil, err
	}
	var states []State
	if err := json.Unmarshal(data, &states); err != nil {
		return nil, fmt.Errorf("states %s: %w", d.States(), err)
	}
	return states, nil
}

// supervisor starts components and notes when one ends. As the first process
// it also inherits what others leave behind, so it waits for any child.
type supervisor struct {
	dirs layout.Cluster
	now  func() time.Time

	mu     sync.Mutex
	byPID  map[int]string
	states []State
}

func newSupervisor(dirs layout.Cluster, now func() time.Time) *supervisor {
	return &supervisor{dirs: dirs, now: now, byPID: map[int]string{}}
}

func (s *supervisor) start(c component.Component) error {
	path, err := exec.LookPath(c.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	log, err := os.OpenFile(s.dirs.Log(c.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()

	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec(path, append([]string{c.Path}, c.Args...), &syscall.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", c.Name, err)
	}
	s.byPID[pid] = c.Name
	s.states = append(s.states, State{Name: c.Name, Started: s.now()})
	return s.write()
}

// reap waits for children for ever.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintf(os.Stderr, "wait for children: %v\n", err)
			return
		default:
			s.ended(pid, status)
		}
	}
}

func (s *supervisor) ended(pid int, status syscall.WaitStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, ours := s.byPID[pid]
	if !ours {
		return
	}
	delete(s.byPID, pid)
	at := slices.IndexFunc(s.states, func(state State) bool { return state.Name == name })
	s.states[at].Ended = describe(status)
	if err := s.write(); err != nil {
		fmt.Fprintf(os.Stderr, "%s ended (%s), and that cannot be written: %v\n", name, describe(status), err)
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// write replaces the file as a whole, so that a reader never sees half of it.
func (s *supervisor) write() error {
	data, err := json.MarshalIndent(s.states, "", "  ")
	if err != nil {
		return err
	}
	draft := filepath.Join(s.dirs.Dir, ".components.json")
	if err := os.WriteFile(draft, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, s.dirs.States())
}
