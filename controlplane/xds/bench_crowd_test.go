// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The crowd is many proxies in a process of its own, so that what they cost is
// told apart from what the server costs. It is this test binary, started again
// with crowdEnv set, and takes orders as JSON lines on its standard input.
const crowdEnv = "XDS_TEST_CROWD"

func TestMain(m *testing.M) {
	if os.Getenv(crowdEnv) == "" {
		os.Exit(m.Run())
	}
	if err := crowdMain(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

// order to the crowd.
type order struct {
	// Do is connect, change, reconnect, or count what came since.
	Do string
	// Address and Roots (PEM) of the server, and who the proxies are; with connect.
	Address string
	Roots   []byte
	Proxies []crowdProxy
}

type crowdProxy struct{ Pod, Namespace, Account string }

// answer of the crowd, when an order is carried out. To a change it first
// answers that it is ready.
type answer struct {
	Err string
	// Times per proxy, on CLOCK_MONOTONIC: when it had everything, or the change.
	Times []int64
	// Responses and Bytes received since the order.
	Responses, Bytes int64
	// CPU used by the process so far.
	CPU time.Duration
}

type crowd struct {
	proxies []*crowdClient
	dial    []grpc.DialOption
	address string
	strings sync.Map // one copy of each name and version

	responses, bytes atomic.Int64
	left             atomic.Int64 // proxies that the order waits for
	done             chan struct{}
}

func crowdMain(in io.Reader, out io.Writer) error {
	c := &crowd{}
	orders := json.NewDecoder(bufio.NewReader(in))
	answers := json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil // whoever gave orders is gone
		} else if err != nil {
			return err
		}
		a, err := c.carryOut(o, func() error { return answers.Encode(answer{}) })
		if err != nil {
			a.Err = err.Error()
		}
		a.CPU = processCPU()
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func (c *crowd) carryOut(o order, ready func() error) (answer, error) {
	if o.Do == "count" {
		return answer{Responses: c.responses.Load(), Bytes: c.bytes.Load()}, nil
	}
	c.responses.Store(0)
	c.bytes.Store(0)
	c.done = make(chan struct{})
	switch o.Do {
	case "connect":
		if err := c.recruit(o); err != nil {
			return answer{}, err
		}
		c.left.Store(int64(len(c.proxies)))
		for _, p := range c.proxies {
			go p.run()
		}
	case "change":
		c.left.Store(int64(len(c.proxies)))
		for _, p := range c.proxies {
			p.expect.Store(true)
		}
		if err := ready(); err != nil {
			return answer{}, err
		}
	case "reconnect":
		for _, p := range c.proxies {
			p.hangUp()
		}
		c.responses.Store(0)
		c.bytes.Store(0)
		c.left.Store(int64(len(c.proxies)))
		for _, p := range c.proxies {
			go p.resume()
		}
	}
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		return answer{}, fmt.Errorf("%s: %d proxies are not done after a minute", o.Do, c.left.Load())
	}
	a := answer{Responses: c.responses.Load(), Bytes: c.bytes.Load()}
	for _, p := range c.proxies {
		if err := p.failed.Load(); err != nil {
			return a, *err
		}
		a.Times = append(a.Times, p.at.Load())
	}
	return a, nil
}

func (c *crowd) recruit(o order) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(o.Roots) {
		return fmt.Errorf("no roots")
	}
	c.address = o.Address
	c.dial = []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "istiod", MinVersion: tls.VersionTLS13})),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(1<<30)),
	}
	for _, p := range o.Proxies {
		c.proxies = append(c.proxies, &crowdClient{crowd: c, who: p, closed: &atomic.Bool{}})
	}
	return nil
}

func (c *crowd) intern(b []byte) string {
	if s, ok := c.strings.Load(string(b)); ok {
		return s.(string)
	}
	s, _ := c.strings.LoadOrStore(string(b), string(b))
	return s.(string)
}

// crowdClient asks as Envoy does: clusters, their endpoints, listeners, their
// routes; and looks only at names, versions and nonces.
type crowdClient struct {
	crowd  *crowd
	who    crowdProxy
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	has    [kinds][]held
	synced bool
	expect atomic.Bool
	at     atomic.Int64
	failed atomic.Pointer[error]
	// closed connections of ours fail on purpose.
	closed *atomic.Bool
}

func (p *crowdClient) reached() {
	p.at.Store(monotonic())
	if p.crowd.left.Add(-1) == 0 {
		close(p.crowd.done)
	}
}

func (p *crowdClient) fail(closed *atomic.Bool, err error) {
	if closed.Load() {
		return
	}
	p.failed.Store(&err)
	p.reached()
}

func (p *crowdClient) open() error {
	var err error
	if p.conn, err = grpc.NewClient("passthrough:"+p.crowd.address, p.crowd.dial...); err != nil {
		return err
	}
	ctx := grpcmetadata.AppendToOutgoingContext(context.Background(), "ns", p.who.Namespace, "sa", p.who.Account)
	p.stream, err = p.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName)
	return err
}

func (p *crowdClient) hangUp() {
	p.closed.Store(true)
	_ = p.conn.Close()
	p.closed = &atomic.Bool{}
}

func (p *crowdClient) run() {
	closed := p.closed
	err := p.open()
	if err == nil {
		err = p.ask(clusters, true, wildcard)
	}
	if err == nil {
		err = p.listen()
	}
	p.fail(closed, err)
}

// resume as a proxy that has everything.
func (p *crowdClient) resume() {
	closed := p.closed
	err := p.open()
	for _, k := range []kind{clusters, endpoints, listeners, routes} {
		if err != nil {
			break
		}
		names := []string{wildcard}
		if k == endpoints || k == routes {
			names = nil
			for _, h := range p.has[k] {
				names = append(names, h.name)
			}
		}
		err = p.request(k, names, p.has[k], "", k == clusters)
	}
	if err == nil {
		p.reached()
		err = p.listen()
	}
	p.fail(closed, err)
}

func (p *crowdClient) ask(k kind, first bool, names ...string) error {
	return p.request(k, names, nil, "", first)
}

func (p *crowdClient) request(k kind, subscribe []string, initial []held, nonce string, first bool) error {
	r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURLs[k], ResourceNamesSubscribe: subscribe, ResponseNonce: nonce}
	if first {
		r.Node = crowdNode(p.who)
	}
	if len(initial) > 0 {
		r.InitialResourceVersions = make(map[string]string, len(initial))
		for _, h := range initial {
			r.InitialResourceVersions[h.name] = h.version
		}
	}
	return p.stream.SendMsg(r)
}

func (p *crowdClient) listen() error {
	for {
		var b raw
		if err := p.stream.RecvMsg(&b); err != nil {
			return err
		}
		p.crowd.responses.Add(1)
		p.crowd.bytes.Add(int64(len(b)))
		if err := p.took(b); err != nil {
			return err
		}
	}
}

func (p *crowdClient) took(b []byte) error {
	var typeURL, nonce string
	var got []held
	err := scan(b, func(num protowire.Number, from, to int) error {
		switch num {
		case fieldTypeURL:
			typeURL = p.crowd.intern(b[from:to])
		case fieldNonce:
			nonce = string(b[from:to])
		case fieldResources:
			got = append(got, p.resource(b[from:to]))
		}
		return nil
	})
	if err != nil {
		return err
	}
	k, _ := kindOf(typeURL)
	if err := p.request(k, nil, nil, nonce, false); err != nil {
		return err
	}
	if p.synced {
		p.keep(k, got)
		if k == endpoints && p.expect.CompareAndSwap(true, false) {
			p.reached()
		}
		return nil
	}
	p.has[k] = got
	switch k {
	case clusters:
		var eds []string
		for _, h := range got {
			if strings.HasPrefix(h.name, "outbound|") {
				eds = append(eds, h.name)
			}
		}
		return p.ask(endpoints, false, eds...)
	case endpoints:
		return p.ask(listeners, false, wildcard)
	case listeners:
		return p.ask(routes, false, "80")
	case routes:
		p.synced = true
		p.reached()
	}
	return nil
}

// keep what changed. Responses are sorted by name.
func (p *crowdClient) keep(k kind, got []held) {
	for _, h := range got {
		if i, ok := slices.BinarySearchFunc(p.has[k], h.name, func(h held, n string) int { return strings.Compare(h.name, n) }); ok {
			p.has[k][i] = h
		}
	}
}

// resource's name and version.
func (p *crowdClient) resource(b []byte) (h held) {
	_ = scan(b, func(num protowire.Number, from, to int) error {
		switch num {
		case 1:
			h.version = p.crowd.intern(b[from:to])
		case 3:
			h.name = p.crowd.intern(b[from:to])
		}
		return nil
	})
	return h
}

// raw is a message that is not decoded.
type raw []byte

type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*raw) = data.Materialize()
	return nil
}

// monotonic time that processes share.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// processCPU is what this process has used.
func processCPU() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
