// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/process"
)

// Status prints one line per cluster. It returns an error if a component of
// one has ended.
func (l Lab) Status(out io.Writer) error {
	specs, err := l.specs()
	if err != nil {
		return err
	}
	if len(specs) == 0 {
		fmt.Fprintln(out, "No clusters.")
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "CLUSTER\tSTATE\tNODE\tPODS\tSERVICES\tMEMORY\tKUBECONFIG")
	var trouble error
	for _, spec := range specs {
		d := spec.Dirs()
		state, memory := "Off", "-"
		up, err := running(d)
		if err != nil {
			return err
		}
		if up {
			state = "Running"
			if err := health(d); err != nil {
				state, trouble = "Broken", err
			}
			bytes, err := residentMemory(d)
			if err != nil {
				return err
			}
			memory = fmt.Sprintf("%d MiB", bytes>>20)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, state, spec.NodeIP, spec.Cluster.PodCIDR, spec.Cluster.ServiceCIDR, memory, l.Layout.Kubeconfig(d.Name))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return trouble
}

// residentMemory sums the memory that the processes of a cluster hold for
// themselves and their share of what several hold (Pss), pods included.
func residentMemory(d layout.Cluster) (uint64, error) {
	first, err := process.Read(d.Record())
	if err != nil {
		return 0, err
	}
	all, err := descendants(first.PID)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for pid := range all {
		sum += proportionalSize(pid)
	}
	return sum, nil
}

// descendants returns a process and all that come from it.
func descendants(first int) (map[string]bool, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[string][]string{}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, found := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if !found || len(fields) < 2 {
			continue
		}
		pid := filepath.Base(filepath.Dir(path))
		children[fields[1]] = append(children[fields[1]], pid)
	}
	all := map[string]bool{}
	next := []string{strconv.Itoa(first)}
	for len(next) > 0 {
		pid := next[0]
		next = append(next[1:], children[pid]...)
		all[pid] = true
	}
	return all, nil
}

func proportionalSize(pid string) uint64 {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
	if err != nil {
		return 0 // it has ended
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "Pss:" {
			kib, err := strconv.ParseUint(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return kib * 1024
		}
	}
	return 0
}
