// SPDX-License-Identifier: Apache-2.0

package dns_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/isthmesh/isthmesh/controlplane/agent/dns"
)

// both listens on one port of loopback over UDP and TCP.
func both(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if p, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			return p, l
		}
		_ = l.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// nameserver answers as f says.
func nameserver(t *testing.T, f func(network string, q *mdns.Msg) *mdns.Msg) netip.AddrPort {
	t.Helper()
	p, l := both(t)
	handler := mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		if answer := f(w.LocalAddr().Network(), q); answer != nil {
			_ = w.WriteMsg(answer)
		}
	})
	for _, s := range []*mdns.Server{{PacketConn: p, Handler: handler}, {Listener: l, Handler: handler}} {
		go func() { _ = s.ActivateAndServe() }()
	}
	t.Cleanup(func() { _, _ = p.Close(), l.Close() })
	return netip.MustParseAddrPort(l.Addr().String())
}

func start(t *testing.T, s *dns.Server) string {
	t.Helper()
	p, l := both(t)
	at := netip.MustParseAddrPort(l.Addr().String())
	_, _ = p.Close(), l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, at) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	// Until it listens.
	for {
		if c, err := net.Dial("tcp", at.String()); err == nil {
			_ = c.Close()
			return at.String()
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
		}
	}
}

// patient is a client that waits for a busy machine.
var patient = &mdns.Client{Timeout: time.Minute}

func records(n int) func(q *mdns.Msg) *mdns.Msg {
	return func(q *mdns.Msg) *mdns.Msg {
		answer := new(mdns.Msg).SetReply(q)
		for i := range n {
			answer.Answer = append(answer.Answer, &mdns.A{
				Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 5}, A: net.IPv4(192, 0, byte(2+i/250), byte(1+i%250)),
			})
		}
		return answer
	}
}

func rcode(code int) func(string, *mdns.Msg) *mdns.Msg {
	return func(_ string, q *mdns.Msg) *mdns.Msg { return new(mdns.Msg).SetRcode(q, code) }
}

func TestServer(t *testing.T) {
	good := nameserver(t, func(_ string, q *mdns.Msg) *mdns.Msg { return records(1)(q) })
	large := nameserver(t, func(network string, q *mdns.Msg) *mdns.Msg {
		if network == "udp" {
			answer := records(1)(q)
			answer.Truncated = true
			return answer
		}
		return records(60)(q)
	})
	edns := nameserver(t, func(_ string, q *mdns.Msg) *mdns.Msg {
		answer := new(mdns.Msg).SetReply(q)
		if o := q.IsEdns0(); o == nil || o.UDPSize() != 1232 || !o.Do() || len(o.Option) != 1 {
			answer.Rcode = mdns.RcodeFormatError
		}
		return answer.SetEdns0(4096, true)
	})
	nothing := nameserver(t, rcode(mdns.RcodeNameError))
	failing := nameserver(t, rcode(mdns.RcodeServerFailure))
	closed := nameserver(t, rcode(mdns.RcodeSuccess))
	closed = netip.AddrPortFrom(closed.Addr(), 1)

	question := func(name string) *mdns.Msg { return new(mdns.Msg).SetQuestion(name, mdns.TypeA) }
	cases := map[string]struct {
		servers []netip.AddrPort
		table   *dns.Table
		network string
		ask     *mdns.Msg
		want    string
	}{
		"Mesh":                  {[]netip.AddrPort{nothing}, testTable(), "udp", question("db.data.svc.cluster.local."), "NOERROR 1 answers"},
		"MeshByTCP":             {[]netip.AddrPort{nothing}, testTable(), "tcp", question("db.data.svc.cluster.local."), "NOERROR 1 answers"},
		"MeshWithoutNameserver": {nil, testTable(), "udp", question("db.data.svc.cluster.local."), "NOERROR 1 answers"},
		"MeshWithEDNS":          {nil, testTable(), "udp", question("db.data.svc.cluster.local.").SetEdns0(1232, true), "NOERROR 1 answers edns do"},
		"NoTableYet":            {[]netip.AddrPort{good}, nil, "udp", question("db.data.svc.cluster.local."), "NOERROR 1 answers"},
		"Forwarded":             {[]netip.AddrPort{good}, testTable(), "udp", question("example.net."), "NOERROR 1 answers"},
		"ForwardedByTCP":        {[]netip.AddrPort{good}, testTable(), "tcp", question("example.net."), "NOERROR 1 answers"},
		"Unknown":               {[]netip.AddrPort{nothing, good}, testTable(), "udp", question("example.net."), "NXDOMAIN 0 answers"},
		"TruncatedIsCompleted":  {[]netip.AddrPort{large}, testTable(), "udp", question("example.net.").SetEdns0(4096, false), "NOERROR 60 answers"},
		"TooLargeForTheClient":  {[]netip.AddrPort{large}, testTable(), "udp", question("example.net."), "NOERROR 30 answers truncated"},
		"LargeByTCP":            {[]netip.AddrPort{large}, testTable(), "tcp", question("example.net."), "NOERROR 60 answers"},
		"FailingServer":         {[]netip.AddrPort{failing, good}, testTable(), "udp", question("example.net."), "NOERROR 1 answers"},
		"ClosedServer":          {[]netip.AddrPort{closed, good}, testTable(), "udp", question("example.net."), "NOERROR 1 answers"},
		"AllFail":               {[]netip.AddrPort{closed, failing}, testTable(), "udp", question("example.net."), "SERVFAIL 0 answers"},
		"NoServer":              {nil, testTable(), "udp", question("example.net."), "SERVFAIL 0 answers"},
		"EDNSPassesThrough":     {[]netip.AddrPort{edns}, testTable(), "udp", withOption(question("example.net.")), "NOERROR 0 answers edns do"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := dns.NewPatient(c.servers)
			s.Set(c.table)
			client := mdns.Client{Net: c.network, Timeout: time.Minute}
			answer, _, err := client.Exchange(c.ask, start(t, s))
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(answer); got != c.want {
				t.Errorf("got %s, want %s:\n%v", got, c.want, answer)
			}
			if answer.Question[0] != c.ask.Question[0] {
				t.Errorf("answers %v", answer.Question)
			}
		})
	}
}

func withOption(m *mdns.Msg) *mdns.Msg {
	m.SetEdns0(1232, true)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
	return m
}

func describe(m *mdns.Msg) string {
	words := []string{mdns.RcodeToString[m.Rcode], fmt.Sprintf("%d answers", len(m.Answer))}
	if m.Truncated {
		words = append(words, "truncated")
	}
	if o := m.IsEdns0(); o != nil && o.Do() {
		words = append(words, "edns do")
	}
	return strings.Join(words, " ")
}

func TestAnswersRotate(t *testing.T) {
	s := dns.New(nil)
	s.Set(testTable())
	at, firsts := start(t, s), map[string]bool{}
	for range 100 {
		answer, _, err := patient.Exchange(new(mdns.Msg).SetQuestion("api.example.com.", mdns.TypeA), at)
		if err != nil {
			t.Fatal(err)
		}
		firsts[answer.Answer[0].(*mdns.A).A.String()] = true
		if len(firsts) == 2 {
			return
		}
	}
	t.Errorf("always %v first", firsts)
}

// TestNewIDUpstream: who saw the pod's question cannot forge the answer to ours.
func TestNewIDUpstream(t *testing.T) {
	seen := make(chan uint16, 16)
	s := dns.NewPatient([]netip.AddrPort{nameserver(t, func(_ string, q *mdns.Msg) *mdns.Msg {
		seen <- q.Id
		return records(1)(q)
	})})
	at, same := start(t, s), 0
	const questions = 8
	for range questions {
		q := new(mdns.Msg).SetQuestion("example.net.", mdns.TypeA)
		answer, _, err := patient.Exchange(q, at)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Id != q.Id {
			t.Errorf("answers id %d to %d", answer.Id, q.Id)
		}
		if q.Id == <-seen {
			same++
		}
	}
	if same == questions {
		t.Error("the pod's ids go upstream")
	}
}
