// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"golang.org/x/sys/unix"
)

// tools maps each program that a cluster needs to the Debian package it is in.
var tools = map[string]string{
	"conntrack":               "conntrack",
	"containerd":              "containerd",
	"containerd-shim-runc-v2": "containerd",
	"ctr":                     "containerd",
	"etcd":                    "etcd-server",
	"ip":                      "iproute2",
	"iptables":                "iptables",
	"nft":                     "nftables",
	"nsenter":                 "util-linux",
	"runc":                    "runc",
	"socat":                   "socat",
}

const cniPackage = "containernetworking-plugins"

// cniDirs are where distributions put the CNI plugins.
var cniDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// Missing names the Debian packages that the lab needs and the machine lacks,
// sorted.
func Missing() []string {
	var packages []string
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			packages = append(packages, pkg)
		}
	}
	if cniDir() == "" {
		packages = append(packages, cniPackage)
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

func cniDir() string {
	for _, dir := range cniDirs {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil {
			return dir
		}
	}
	return ""
}

// Inspect finds out what the components need to know of the machine. The
// clusters will keep their data in dir.
func Inspect(dir string) (component.Host, error) {
	if os.Geteuid() != 0 {
		return component.Host{}, errors.New("the lab makes namespaces and mounts: run it as root")
	}
	if missing := Missing(); len(missing) > 0 {
		return component.Host{}, fmt.Errorf("missing Debian packages: %s: `lab build` installs them", strings.Join(missing, " "))
	}
	host := component.Host{CNI: cniDir(), Snapshotter: "overlayfs"}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return component.Host{}, err
	}
	if stat.Type == unix.OVERLAYFS_SUPER_MAGIC {
		// An overlay cannot lie on another one.
		host.Snapshotter = "native"
	}
	if err := unix.Statfs("/sys/fs/cgroup", &stat); err != nil {
		return component.Host{}, err
	}
	host.CgroupV1 = stat.Type != unix.CGROUP2_SUPER_MAGIC
	return host, nil
}

// FreeMemory is how much memory new processes can have, in bytes.
func FreeMemory() (uint64, error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseUint(fields[1], 10, 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("/proc/meminfo: no MemAvailable")
}

// perCluster is how many inotify instances the components of a cluster hold.
const perCluster = 16

// InotifyShortage says what to change if so many clusters would run into the
// machine's limit of inotify instances; it is empty if they would not.
func InotifyShortage(clusters int) (string, error) {
	const path = "/proc/sys/fs/inotify/max_user_instances"
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	have, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || have >= clusters*perCluster {
		return "", err
	}
	return fmt.Sprintf("%d clusters take about %d inotify instances, and the machine allows %d: sysctl -w fs.inotify.max_user_instances=1024", clusters, clusters*perCluster, have), nil
}
