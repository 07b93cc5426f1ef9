// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// atOnce bounds the questions that wait for a nameserver; more are told that
// the server failed, so that resolvers try again.
const atOnce = 2000

// Server answers for one pod. It is safe for concurrent use.
type Server struct {
	table     atomic.Pointer[Table]
	forwarder forwarder
	places    chan struct{}

	requests, forwarded, failed prometheus.Counter
	duration                    prometheus.Histogram
}

// New makes a server that knows no name yet and sends all on to the nameservers.
func New(nameservers []netip.AddrPort) *Server {
	return &Server{
		forwarder: forwarder{servers: nameservers, timeout: exchangeTimeout},
		places:    make(chan struct{}, atOnce),
		requests:  prometheus.NewCounter(prometheus.CounterOpts{Name: "dns_requests_total", Help: "DNS requests of the pod."}),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{Name: "dns_upstream_requests_total", Help: "DNS requests sent on to a nameserver."}),
		failed:    prometheus.NewCounter(prometheus.CounterOpts{Name: "dns_upstream_failures_total", Help: "DNS requests that no nameserver answered."}),
		duration:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "dns_upstream_request_duration_seconds", Help: "Time that nameservers took.", Buckets: []float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5}}),
	}
}

// Register adds the server's metrics.
func (s *Server) Register(r prometheus.Registerer) {
	r.MustRegister(s.requests, s.forwarded, s.failed, s.duration)
}

// Set replaces the names.
func (s *Server) Set(t *Table) { s.table.Store(t) }

// Serve answers over UDP and TCP at the addresses until the context ends.
func (s *Server) Serve(ctx context.Context, addresses ...netip.AddrPort) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, at := range addresses {
		packets, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", at.String())
		if err != nil {
			return fmt.Errorf("listen for DNS: %w", err)
		}
		defer func() { _ = packets.Close() }()
		streams, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.String())
		if err != nil {
			return fmt.Errorf("listen for DNS: %w", err)
		}
		defer func() { _ = streams.Close() }()
		for _, server := range []*dns.Server{
			{PacketConn: packets, Handler: s, UDPSize: dns.DefaultMsgSize},
			{Listener: streams, Handler: s},
		} {
			// Shutting down a server that hasn't started yet would be in vain.
			started, ended := make(chan struct{}), make(chan struct{})
			server.NotifyStartedFunc = func() { close(started) }
			group.Go(func() error { defer close(ended); return server.ActivateAndServe() })
			group.Go(func() error {
				<-ctx.Done()
				select {
				case <-started:
					return server.Shutdown()
				case <-ended:
					return nil
				}
			})
		}
	}
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve DNS: %w", err)
	}
	return nil
}

// ServeDNS answers one request.
func (s *Server) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	s.requests.Inc()
	answer := s.answer(w.RemoteAddr().Network(), request)
	answer.Truncate(room(w.RemoteAddr().Network(), request))
	// Nobody is left to be told when the client has gone.
	_ = w.WriteMsg(answer)
}

func (s *Server) answer(network string, request *dns.Msg) *dns.Msg {
	if len(request.Question) == 1 && request.Opcode == dns.OpcodeQuery {
		if records, ok := s.table.Load().Lookup(request.Question[0]); ok {
			return local(request, rotate(records, rand.Int()))
		}
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		s.failed.Inc()
		return new(dns.Msg).SetRcode(request, dns.RcodeServerFailure)
	}
	s.forwarded.Inc()
	timer := prometheus.NewTimer(s.duration)
	defer timer.ObserveDuration()
	answer, err := s.forwarder.forward(network, request)
	if err != nil {
		s.failed.Inc()
		return new(dns.Msg).SetRcode(request, dns.RcodeServerFailure)
	}
	return answer
}

func local(request *dns.Msg, records []dns.RR) *dns.Msg {
	answer := new(dns.Msg).SetReply(request)
	answer.Authoritative, answer.RecursionAvailable = true, true
	answer.Answer = records
	if option := request.IsEdns0(); option != nil {
		answer.SetEdns0(dns.DefaultMsgSize, option.Do())
	}
	return answer
}

// room is how large an answer the client takes.
func room(network string, request *dns.Msg) int {
	if network == "tcp" {
		return dns.MaxMsgSize
	}
	size := dns.MinMsgSize
	if option := request.IsEdns0(); option != nil {
		size = max(size, int(option.UDPSize()))
	}
	return size
}
