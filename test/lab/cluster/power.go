// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/machine"
	"github.com/isthmesh/isthmesh/test/lab/process"
)

// nodeLog is the log of the node itself, beside those of its components.
const nodeLog = "node"

// running tells whether the cluster's first process lives.
func running(d layout.Cluster) (bool, error) {
	id, err := process.Read(d.Record())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && id.Alive(), err
}

// powerOn starts the node of a prepared cluster and plugs it in. The node
// lives on when this process ends.
func powerOn(spec component.Spec) error {
	d := spec.Dirs()
	log, err := os.OpenFile(d.Log(nodeLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	plugged, plug, err := os.Pipe()
	if err != nil {
		return err
	}
	defer plug.Close()

	if err := os.Remove(d.States()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// It outlives this command, so no context of ours may end it.
	node := exec.CommandContext(context.Background(), spec.Lab.Program("lab"), "node", "--spec", d.Spec())
	node.Dir = "/"
	node.Stdout, node.Stderr = log, log
	node.ExtraFiles = []*os.File{plugged}
	node.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	err = node.Start()
	plugged.Close()
	if err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	// Wait for it, so that it does not stay a zombie if it ends before we do.
	go func() { _ = node.Wait() }()

	id, err := process.Of(node.Process.Pid)
	if err != nil {
		return err
	}
	if err := id.Write(d.Record()); err != nil {
		return err
	}
	if err := machine.Plug(d, node.Process.Pid, spec.NodeIP); err != nil {
		return err
	}
	// If we end before this, the node ends too, as it finds the pipe closed.
	_, err = plug.Write([]byte{1})
	return err
}

// powerOff ends everything that runs in the cluster, at once, and undoes what
// was done to the machine for it. The cluster's data stays.
func powerOff(ctx context.Context, d layout.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	id, err := process.Read(d.Record())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := id.Kill(ctx); err != nil {
			return err
		}
		if err := os.Remove(d.Record()); err != nil {
			return err
		}
	}
	if err := machine.Unplug(d); err != nil {
		return err
	}
	if err := machine.RemoveCgroups(d.Cgroup()); err != nil {
		return err
	}
	return os.RemoveAll(d.Run)
}
