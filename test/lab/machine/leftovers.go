// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/vishvananda/netlink"
)

// Leftovers lists what is left of a cluster, or of all clusters if the name is
// empty: processes, mounts, network namespaces, interfaces, cgroups and files.
func Leftovers(lab layout.Lab, cluster string) ([]string, error) {
	var found []string
	for _, look := range []func(layout.Lab, string) ([]string, error){
		leftProcesses, leftMounts, leftLinks, leftCgroups, leftFiles,
	} {
		more, err := look(lab, cluster)
		if err != nil {
			return nil, err
		}
		slices.Sort(more)
		found = append(found, more...)
	}
	return found, nil
}

func leftProcesses(lab layout.Lab, cluster string) ([]string, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, path := range paths {
		// A process may end while we look.
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		args := strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")
		if slices.ContainsFunc(args, func(arg string) bool { return lab.Owned(arg, cluster) }) {
			found = append(found, fmt.Sprintf("process %s: %s", filepath.Base(filepath.Dir(path)), strings.Join(args, " ")))
		}
	}
	return found, nil
}

func leftMounts(lab layout.Lab, cluster string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && (lab.Owned(fields[1], cluster) || named(lab, fields[1], cluster)) {
			found = append(found, "mount "+fields[1])
		}
	}
	return found, nil
}

// named tells whether a path is a name of the lab's network namespaces.
func named(lab layout.Lab, path, cluster string) bool {
	if cluster != "" {
		return path == lab.Cluster(cluster).Netns()
	}
	return strings.HasPrefix(path, "/run/netns/"+layout.Prefix)
}

func leftLinks(lab layout.Lab, cluster string) ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, link := range links {
		name := link.Attrs().Name
		if cluster == "" && strings.HasPrefix(name, layout.Prefix) {
			found = append(found, "interface "+name)
		}
	}
	return found, nil
}

func leftCgroups(lab layout.Lab, cluster string) ([]string, error) {
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	cgroup := layout.CgroupRoot
	if cluster != "" {
		cgroup = lab.Cluster(cluster).Cgroup()
	}
	var found []string
	for _, mount := range mounts {
		if _, err := os.Stat(filepath.Join(mount, cgroup)); err == nil {
			found = append(found, "cgroup "+filepath.Join(mount, cgroup))
		}
	}
	return found, nil
}

func leftFiles(lab layout.Lab, cluster string) ([]string, error) {
	d := lab.Cluster(cluster)
	patterns := []string{d.Dir, d.Run, d.Netns(), lab.Kubeconfig(cluster)}
	if cluster == "" {
		patterns = []string{filepath.Join(lab.Dir(), "*", "*.json"), lab.Kubeconfig("*"), layout.RunDir, "/run/netns/" + layout.Prefix + "*"}
	}
	var found []string
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if name := filepath.Base(filepath.Dir(path)); name == "images" || name == "cache" || name == "bin" {
				continue
			}
			found = append(found, "file "+path)
		}
	}
	return found, nil
}
