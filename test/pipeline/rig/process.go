// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Run a program inside the pod and wait until it listens on a port of the pod.
// What it prints comes with a test that fails. The function that it returns
// ends it; the test's end does too.
func (p *Pod) Run(listens, program string, args ...string) (stop func()) {
	p.t.Helper()
	log, err := os.Create(filepath.Join(p.dir, filepath.Base(program)+"-"+listens+".log"))
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.CommandContext(p.t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.ns.do(func() { err = cmd.Start() })
	if err != nil {
		p.t.Fatalf("start %s in pod %s: %v", program, p.Name, err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	p.t.Cleanup(func() {
		stop()
		_ = log.Close()
		if p.t.Failed() {
			b, _ := os.ReadFile(log.Name())
			p.t.Logf("%s of pod %s:\n%s", program, p.Name, b[max(0, len(b)-4000):])
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		conn, err := p.Dial(p.Address.String() + ":" + listens)
		if err == nil {
			_ = conn.Close()
			return stop
		}
		select {
		case <-ended:
			p.t.Fatalf("%s in pod %s has ended", program, p.Name)
		default:
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s in pod %s doesn't listen on %s: %v", program, p.Name, listens, err)
		}
	}
}
