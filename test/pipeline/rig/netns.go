// SPDX-License-Identifier: Apache-2.0

// Package rig runs real Envoys for tests of the pipeline: pods with a network
// namespace each, redirected by the agent's own rules, fed by the real xDS
// server from a snapshot. Everything goes when the test ends, or its process.
package rig

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace runs functions on a thread with a network namespace of its own,
// which ends with the thread.
type namespace struct {
	work chan func()
	// ended is closed when the test ends; nothing runs inside from then on.
	ended chan struct{}
	// path by which other processes find the namespace.
	path string
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	ns := &namespace{work: make(chan func()), ended: make(chan struct{})}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread, and with it the namespace, dies here.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		ns.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		ready <- err
		for {
			select {
			case f := <-ns.work:
				f()
			case <-ns.ended:
				return
			}
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("make a network namespace (the test must run as root): %v", err)
	}
	t.Cleanup(func() { close(ns.ended) })
	ns.ip(t, "link", "set", "lo", "up")
	return ns
}

// do runs a function inside. Sockets that it opens stay inside for life. It is
// false, and nothing was run, when the test has ended: clients may still dial then.
func (ns *namespace) do(f func()) bool {
	done := make(chan struct{})
	select {
	case ns.work <- func() { defer close(done); f() }:
		<-done
		return true
	case <-ns.ended:
		return false
	}
}

func (ns *namespace) ip(t testing.TB, args ...string) {
	t.Helper()
	var out []byte
	var err error
	ns.do(func() { out, err = exec.CommandContext(t.Context(), "ip", args...).CombinedOutput() })
	if err != nil {
		t.Fatalf("ip %v (package iproute2): %v\n%s", args, err, out)
	}
}

// Fabric joins pods: every pod reaches every other one by its address.
type Fabric struct {
	t    testing.TB
	ns   *namespace
	dir  string
	pods int
}

// The addresses of pods are inside this range; its first is the gateway.
var podRange = netip.MustParsePrefix("10.244.0.0/16")

// New makes an empty fabric.
func New(t testing.TB) *Fabric {
	t.Helper()
	dir, err := os.MkdirTemp("", "rig")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// Envoy runs as another user.
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	f := &Fabric{t: t, ns: newNamespace(t), dir: dir}
	f.ns.ip(t, "link", "add", "fabric", "type", "bridge")
	f.ns.ip(t, "addr", "add", netip.PrefixFrom(podRange.Addr().Next(), podRange.Bits()).String(), "dev", "fabric")
	f.ns.ip(t, "link", "set", "fabric", "up")
	return f
}

// Pod is a network namespace with an address.
type Pod struct {
	Name, Namespace string
	Address         netip.Addr
	t               testing.TB
	ns              *namespace
	dir             string
	mounts          int
}

// Pod adds one to the fabric. Its address lies in 10.244.0.0/16.
func (f *Fabric) Pod(namespace, name, address string) *Pod {
	f.t.Helper()
	f.pods++
	p := &Pod{
		Name: name, Namespace: namespace, Address: netip.MustParseAddr(address),
		t: f.t, ns: newNamespace(f.t), dir: fmt.Sprintf("%s/%d", f.dir, f.pods),
	}
	if err := os.Mkdir(p.dir, 0o777); err != nil {
		f.t.Fatal(err)
	}
	// Against the process's mask.
	if err := os.Chmod(p.dir, 0o777); err != nil {
		f.t.Fatal(err)
	}
	port := fmt.Sprintf("pod%d", f.pods)
	f.ns.ip(f.t, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", p.ns.path)
	f.ns.ip(f.t, "link", "set", port, "master", "fabric", "up")
	p.ns.ip(f.t, "addr", "add", netip.PrefixFrom(p.Address, podRange.Bits()).String(), "dev", "eth0")
	p.ns.ip(f.t, "link", "set", "eth0", "up")
	p.ns.ip(f.t, "route", "add", "default", "via", podRange.Addr().Next().String())
	p.unprivileged()
	return p
}

// unprivileged proxies listen on every port, as the chart of gateways has it.
func (p *Pod) unprivileged() {
	p.t.Helper()
	var err error
	p.ns.do(func() { err = os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0o600) })
	if err != nil {
		p.t.Fatal(err)
	}
}

// Mount content over a file that is there, for processes of this pod alone:
// what an image or the kubelet would put there.
func (p *Pod) Mount(path string, content []byte) {
	p.t.Helper()
	p.mounts++
	source := fmt.Sprintf("%s/mount-%d", p.dir, p.mounts)
	err := os.WriteFile(source, content, 0o644) //nolint:gosec // Envoy runs as another user
	p.ns.do(func() {
		if err == nil && p.mounts == 1 {
			err = unix.Unshare(unix.CLONE_NEWNS)
		}
		if err == nil && p.mounts == 1 {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount(source, path, "", unix.MS_BIND, "")
		}
	})
	if err != nil {
		p.t.Fatalf("mount over %s in pod %s: %v", path, p.Name, err)
	}
}

// Swallow all that comes from a range of addresses, on connections that are open
// too: nobody there hears from the pod any more, until restore is called.
func (p *Pod) Swallow(from string) (restore func()) {
	p.t.Helper()
	p.ns.ip(p.t, "route", "add", "blackhole", from)
	return func() {
		p.t.Helper()
		p.ns.ip(p.t, "route", "del", "blackhole", from)
	}
}

// Listen inside the pod, on TCP.
func (p *Pod) Listen(address string) net.Listener {
	p.t.Helper()
	var l net.Listener
	var err error
	p.ns.do(func() { l, err = new(net.ListenConfig).Listen(p.t.Context(), "tcp4", address) })
	if err != nil {
		p.t.Fatalf("listen in pod %s: %v", p.Name, err)
	}
	p.t.Cleanup(func() { _ = l.Close() })
	return l
}

// Dial from inside the pod, over TCP.
func (p *Pod) Dial(address string) (net.Conn, error) {
	var c net.Conn
	var err error
	d := net.Dialer{Timeout: patience}
	if !p.ns.do(func() { c, err = d.DialContext(p.t.Context(), "tcp4", address) }) {
		err = net.ErrClosed
	}
	return c, err
}
