// SPDX-License-Identifier: Apache-2.0

package process

import (
	"runtime"
	"syscall"
)

// run starts the child and waits for it on one thread: the kernel sends the
// parent-death signal when the thread that started the child ends, not the
// process.
func (e *Envoy) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := e.command.Start()
	started <- err
	if err != nil {
		return
	}
	// The state says more than the error does.
	_ = e.command.Wait()
	state := e.command.ProcessState
	e.code = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.code = 128 + int(status.Signal())
	}
	close(e.done)
}
