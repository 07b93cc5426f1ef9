// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/node"
)

// tail is how much of a dead component's log is shown.
const tail = 15

// health returns an error that names every component that has ended, with the
// end of its log, or nil if all that was started runs.
func health(d layout.Cluster) error {
	up, err := running(d)
	if err != nil {
		return err
	}
	if !up {
		return fmt.Errorf("%s: the node has ended:\n%s", d.Name, lastLines(d.Log(nodeLog)))
	}
	states, err := node.ReadStates(d)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var dead []error
	for _, state := range states {
		if state.Ended != "" {
			dead = append(dead, fmt.Errorf("%s: %s has ended (%s); switch the cluster off and on with `lab stop %s` and `lab start %s`; the end of %s:\n%s",
				d.Name, state.Name, state.Ended, d.Name, d.Name, d.Log(state.Name), lastLines(d.Log(state.Name))))
		}
	}
	return errors.Join(dead...)
}

// switchedOn returns when the cluster's first component was started.
func switchedOn(d layout.Cluster) (time.Time, error) {
	states, err := node.ReadStates(d)
	if err != nil {
		return time.Time{}, err
	}
	if len(states) == 0 {
		return time.Time{}, fmt.Errorf("%s: no component was started", d.Name)
	}
	return states[0].Started, nil
}

func lastLines(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "    " + err.Error()
	}
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	if len(lines) > tail {
		lines = lines[len(lines)-tail:]
	}
	var out strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&out, "    %s\n", line)
	}
	return strings.TrimRight(out.String(), "\n")
}
