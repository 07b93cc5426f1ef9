// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/machine"
	"github.com/isthmesh/isthmesh/test/lab/step"
)

// policy is asked by Debian's package scripts whether a service may be started.
const policy = "/usr/sbin/policy-rc.d"

// Packages installs the Debian packages that the machine lacks. Their services
// are not started: the lab runs its own containerd and etcd.
func Packages(ctx context.Context, log *step.Log) error {
	missing := machine.Missing()
	if _, err := pip(); err != nil {
		missing = append(missing, "python3-pip")
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine has no apt-get: install the equivalent of these Debian packages: %s", strings.Join(missing, " "))
	}
	return log.Long("install Debian packages", strings.Join(missing, " "), func() error {
		allow, err := forbidServices()
		if err != nil {
			return err
		}
		defer allow()
		install := append([]string{"install", "--yes", "--no-install-recommends"}, missing...)
		if err := aptGet(ctx, install...); err == nil {
			return nil
		}
		// The lists of packages may be old or absent.
		if err := aptGet(ctx, "update"); err != nil {
			return err
		}
		return aptGet(ctx, install...)
	})
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

// forbidServices keeps packages from starting services until the returned
// function is called. A policy that the machine has already is left alone.
func forbidServices() (allow func(), err error) {
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = file.WriteString("#!/bin/sh\nexit 101\n")
	return func() { _ = os.Remove(policy) }, errors.Join(err, file.Close())
}
