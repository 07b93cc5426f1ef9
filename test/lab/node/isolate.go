// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"golang.org/x/sys/unix"
)

// sysctls are the machine's settings that a kubelet wants to change. It finds
// the value it wants in a file laid over each, and so leaves the machine alone.
var sysctls = map[string]string{
	"kernel/keys/root_maxbytes": "25000000",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
}

// hidden are folders whose fixed paths kubelet and containerd use: each node
// gets its own, in memory, instead of the machine's.
var hidden = []string{"/run/netns", "/var/lib", "/var/log"}

// isolate makes the mount namespace the node's own.
func isolate(spec component.Spec) error {
	for _, dir := range hidden {
		if strings.HasPrefix(spec.Lab.Checkout+"/", dir+"/") {
			return fmt.Errorf("the checkout %s lies in %s, which every node hides: move it", spec.Lab.Checkout, dir)
		}
	}
	if err := unix.Sethostname([]byte(spec.Dirs().Node())); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// A copy of another cluster's network namespace would keep it alive.
	names, err := filepath.Glob("/run/netns/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := unix.Unmount(name, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
			return fmt.Errorf("unmount %s: %w", name, err)
		}
	}
	for _, dir := range hidden {
		if err := unix.Mount("lab", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for name, value := range sysctls {
		file := filepath.Join("/var/lib/lab-sysctl", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(file, filepath.Join("/proc/sys", name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover sysctl %s: %w", name, err)
		}
	}
	// Kubelet and containers pass mounts on to each other.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w", err)
	}
	return nil
}
