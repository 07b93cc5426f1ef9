// SPDX-License-Identifier: Apache-2.0

package redirect_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmesh/isthmesh/controlplane/agent/redirect"
)

const (
	pod        = "10.9.0.2"
	outside    = "10.9.0.1"
	nameserver = "10.9.0.10"

	// patience with answers; all come.
	patience = 30 * time.Second
)

// namespace runs functions on a thread with a network namespace of its own,
// which ends with the thread.
type namespace chan func()

func newNamespace(t *testing.T) namespace {
	t.Helper()
	ns := make(namespace)
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread, and with it the namespace, dies here.
		runtime.LockOSThread()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range ns {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("make a network namespace (the test must run as root): %v", err)
	}
	t.Cleanup(func() { close(ns) })
	ns.do(func() { run(t, "ip", "link", "set", "lo", "up") })
	return ns
}

func (ns namespace) do(f func()) {
	done := make(chan struct{})
	ns <- func() { defer close(done); f() }
	<-done
}

// as runs a function with the user id that new sockets are stamped with.
func as(uid int, f func()) {
	_ = unix.Setfsuid(uid)
	defer func() { _ = unix.Setfsuid(0) }()
	f()
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

// listen answers each TCP connection with its name and the address that the
// client meant.
func listen(t *testing.T, name, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "%s for %s", name, originalDestination(c.(*net.TCPConn)))
			_ = c.Close()
		}
	}()
}

func originalDestination(c *net.TCPConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return err.Error()
	}
	meant := c.LocalAddr().String()
	_ = raw.Control(func(fd uintptr) {
		// The kernel's struct sockaddr_in fits into this one.
		if a, err := unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, 80 /* SO_ORIGINAL_DST */); err == nil {
			m := a.Multiaddr
			meant = netip.AddrPortFrom(netip.AddrFrom4([4]byte(m[4:8])), uint16(m[2])<<8|uint16(m[3])).String()
		}
	})
	return meant
}

func answerUDP(t *testing.T, name, address string) {
	t.Helper()
	c, err := net.ListenPacket("udp4", address)
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(name), from)
		}
	}()
}

// ask connects and returns what comes back.
func ask(network, from, to string) string {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.Dial(network, to)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	if network == "udp4" {
		if _, err := c.Write([]byte("?")); err != nil {
			return err.Error()
		}
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		if err != nil {
			return err.Error()
		}
		return string(buf[:n])
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b))
}

// TestApply sends real connections through the rules of a pod that captures
// DNS, joined by a cable to an outside with servers of its own.
func TestApply(t *testing.T) {
	inside, beyond := newNamespace(t), newNamespace(t)
	var thread int
	beyond.do(func() { thread = unix.Gettid() })
	inside.do(func() {
		run(t, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(thread))
		run(t, "ip", "address", "add", pod+"/24", "dev", "eth0")
		run(t, "ip", "link", "set", "eth0", "up")
		run(t, "ip", "route", "add", "default", "via", outside)
	})
	beyond.do(func() {
		for _, a := range []string{outside, nameserver} {
			run(t, "ip", "address", "add", a+"/24", "dev", "eth0")
		}
		run(t, "ip", "link", "set", "eth0", "up")
		listen(t, "outside", "0.0.0.0:80")
		listen(t, "outside", "0.0.0.0:3306")
		listen(t, "nameserver", nameserver+":53")
		answerUDP(t, "nameserver", nameserver+":53")
		answerUDP(t, "other nameserver", outside+":53")
	})
	inside.do(func() {
		as(1337, func() {
			listen(t, "outbound", "0.0.0.0:15001")
			listen(t, "inbound", "0.0.0.0:15006")
			listen(t, "dns", "127.0.0.1:15053")
			answerUDP(t, "dns", "127.0.0.1:15053")
			listen(t, "metrics", "0.0.0.0:15020")
		})
		listen(t, "application", "0.0.0.0:8080")
		listen(t, "application", "0.0.0.0:22")

		o := redirect.Defaults()
		o.CaptureDNS = true
		o.Nameservers = []netip.Addr{netip.MustParseAddr(nameserver)}
		o.ExcludeOutboundPorts = []uint16{3306}
		o.ExcludeInboundPorts = []uint16{22}
		// Twice: applying is idempotent.
		for range 2 {
			if err := redirect.Apply(redirect.Build(o)); err != nil {
				t.Error(err)
			}
		}
	})

	cases := map[string]struct {
		in                namespace
		uid               int
		network, from, to string
		want              string
	}{
		"ApplicationCallsOut":          {inside, 0, "tcp4", "", "192.0.2.7:443", "outbound for 192.0.2.7:443"},
		"ApplicationCallsExcludedPort": {inside, 0, "tcp4", "", outside + ":3306", "outside for " + outside + ":3306"},
		"ProxyCallsOut":                {inside, 1337, "tcp4", "", outside + ":80", "outside for " + outside + ":80"},
		"ApplicationCallsLoopback":     {inside, 0, "tcp4", "", "127.0.0.1:8080", "application for 127.0.0.1:8080"},
		"ApplicationCallsItsOwnPod":    {inside, 0, "tcp4", "", pod + ":8080", "application for " + pod + ":8080"},
		"ProxyChoseItsOwnPod":          {inside, 1337, "tcp4", "", pod + ":8080", "inbound for " + pod + ":8080"},
		"ProxyHandsToTheApplication":   {inside, 1337, "tcp4", "127.0.0.6", pod + ":8080", "application for " + pod + ":8080"},
		"ProxyCallsLoopback":           {inside, 1337, "tcp4", "", "127.0.0.1:8080", "application for 127.0.0.1:8080"},
		"OutsideCallsIn":               {beyond, 0, "tcp4", "", pod + ":8080", "inbound for " + pod + ":8080"},
		"OutsideCallsInOnClosedPort":   {beyond, 0, "tcp4", "", pod + ":9999", "inbound for " + pod + ":9999"},
		"OutsideCallsExcludedPort":     {beyond, 0, "tcp4", "", pod + ":22", "application for " + pod + ":22"},
		"OutsideCallsMetrics":          {beyond, 0, "tcp4", "", pod + ":15020", "metrics for " + pod + ":15020"},
		"ApplicationAsksDNS":           {inside, 0, "udp4", "", nameserver + ":53", "dns"},
		"ApplicationAsksDNSByTCP":      {inside, 0, "tcp4", "", nameserver + ":53", "dns for " + nameserver + ":53"},
		"ApplicationAsksAnotherServer": {inside, 0, "udp4", "", outside + ":53", "other nameserver"},
		"AgentAsksUpstream":            {inside, 1337, "udp4", "", nameserver + ":53", "nameserver"},
		"AgentAsksUpstreamByTCP":       {inside, 1337, "tcp4", "", nameserver + ":53", "nameserver for " + nameserver + ":53"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got string
			c.in.do(func() { as(c.uid, func() { got = ask(c.network, c.from, c.to) }) })
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}

	t.Run("PortUsedAgainByTheAgent", func(t *testing.T) {
		var first, second string
		inside.do(func() {
			from := &net.UDPAddr{IP: net.ParseIP(pod), Port: 40053}
			first = askFrom(from)
			as(1337, func() { second = askFrom(from) })
		})
		if first != "dns" || second != "nameserver" {
			t.Errorf("application got %q, agent got %q", first, second)
		}
	})
	t.Run("Removed", func(t *testing.T) {
		var got string
		inside.do(func() {
			if err := redirect.Remove(redirect.Build(redirect.Defaults())); err != nil {
				t.Error(err)
			}
			got = ask("tcp4", "", outside+":80")
		})
		if got != "outside for "+outside+":80" {
			t.Errorf("got %q", got)
		}
	})
}

func askFrom(from *net.UDPAddr) string {
	c, err := net.DialUDP("udp4", from, &net.UDPAddr{IP: net.ParseIP(nameserver), Port: 53})
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = c.Write([]byte("?"))
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}

// TestPrintedRules reads the text of --dry-run back with the nft command.
func TestPrintedRules(t *testing.T) {
	o := redirect.Defaults()
	o.CaptureDNS, o.CaptureAllDNS, o.IPv6 = true, true, true
	o.ExcludeInterfaces = []string{"net1"}
	ns := newNamespace(t)
	for _, r := range redirect.Build(o) {
		ns.do(func() {
			file := t.TempDir() + "/rules.nft"
			if err := os.WriteFile(file, []byte(r.String()), 0o600); err != nil {
				t.Error(err)
			}
			run(t, "nft", "-c", "-f", file)
		})
	}
	ns.do(func() {
		if err := redirect.Apply(redirect.Build(o)); err != nil {
			t.Error(err)
		}
	})
}

func TestApplyIPv6(t *testing.T) {
	const pod = "2001:db8::2"
	ns := newNamespace(t)
	ns.do(func() {
		if has, err := redirect.HasIPv6(); has || err != nil {
			t.Errorf("IPv6 before there is any: %v, %v", has, err)
		}
		run(t, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
		run(t, "ip", "link", "set", "eth1", "up")
		run(t, "ip", "address", "add", pod+"/64", "dev", "eth0", "nodad")
		run(t, "ip", "link", "set", "eth0", "up")
		if has, err := redirect.HasIPv6(); !has || err != nil {
			t.Errorf("IPv6: %v, %v", has, err)
		}
		o := redirect.Defaults()
		o.IPv6 = true
		// Twice: both are idempotent.
		for range 2 {
			if err := redirect.AddInboundSource(); err != nil {
				t.Error(err)
			}
			if err := redirect.Apply(redirect.Build(o)); err != nil {
				t.Error(err)
			}
		}
		as(1337, func() {
			listen(t, "outbound", "[::]:15001")
			listen(t, "inbound", "[::]:15006")
		})
		listen(t, "application", "[::]:8080")
	})
	cases := map[string]struct {
		uid            int
		from, to, want string
	}{
		"ApplicationCallsOut":        {0, "", "[2001:db8::99]:80", "outbound"},
		"ApplicationCallsItsOwnPod":  {0, "", "[" + pod + "]:8080", "application"},
		"ProxyChoseItsOwnPod":        {1337, "", "[" + pod + "]:8080", "inbound"},
		"ProxyHandsToTheApplication": {1337, "::6", "[" + pod + "]:8080", "application"},
		"ApplicationCallsLoopback":   {0, "", "[::1]:8080", "application"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got string
			ns.do(func() { as(c.uid, func() { got = ask("tcp6", c.from, c.to) }) })
			if who, _, _ := strings.Cut(got, " "); who != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
