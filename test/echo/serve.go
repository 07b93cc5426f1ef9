// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// headers is how long a client may take to send a request's headers. It counts from when a connection
// is opened, and a proxy opens some that it needs only later: one that is closed just when a
// request is put on it loses that request.
const headers = time.Hour

// drain is how long requests may go on when the server is told to end.
const drain = 15 * time.Second

// server answers on all protocols.
type server struct {
	hostname string
	version  string

	mu  sync.Mutex
	log *json.Encoder
}

func serveCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("echo serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	httpAddr := flags.String("http", ":8080", "address for HTTP/1 and, without TLS, HTTP/2; empty for none")
	tcpAddr := flags.String("tcp", ":9000", "address for TCP; empty for none")
	grpcAddr := flags.String("grpc", ":9090", "address for gRPC; empty for none")
	hostname := flags.String("hostname", "", "the name it answers with; default the machine's, which is the pod's")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *hostname == "" {
		name, err := os.Hostname()
		if err != nil {
			fmt.Fprintln(stderr, "echo:", err)
			return 1
		}
		*hostname = name
	}
	s := &server{hostname: *hostname, version: os.Getenv("VERSION"), log: json.NewEncoder(stdout)}
	if err := s.serve(ctx, *httpAddr, *tcpAddr, *grpcAddr); err != nil {
		fmt.Fprintln(stderr, "echo:", err)
		return 1
	}
	return 0
}

// serve answers until the context ends, and then lets requests end.
func (s *server) serve(ctx context.Context, httpAddr, tcpAddr, grpcAddr string) error {
	type service struct {
		address string
		run     func(context.Context, net.Listener) error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	var errs [3]error
	for i, service := range []service{{httpAddr, s.serveHTTP}, {tcpAddr, s.serveTCP}, {grpcAddr, s.serveGRPC}} {
		if service.address == "" {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", service.address)
		if err != nil {
			errs[i] = err
			cancel()
			break
		}
		all.Go(func() {
			if err := service.run(ctx, listener); err != nil {
				errs[i] = err
				cancel()
			}
		})
	}
	all.Wait()
	return errors.Join(errs[:]...)
}

func (s *server) serveHTTP(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/", s.echo)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols, ReadHeaderTimeout: headers}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		return server.Shutdown(ctx)
	}
}

// echo answers any request. The query may ask for another status
// (?status=503) or for a pause before the answer (?delay=100ms).
func (s *server) echo(w http.ResponseWriter, r *http.Request) {
	answer := Answer{
		At:       time.Now(),
		Hostname: s.hostname, Version: s.version, Protocol: r.Proto,
		Method: r.Method, Host: r.Host, Path: r.URL.RequestURI(), Headers: r.Header, RemoteAddr: r.RemoteAddr,
	}
	status := http.StatusOK
	if text := r.URL.Query().Get("status"); text != "" {
		var err error
		if status, err = strconv.Atoi(text); err != nil || status < 200 || status > 599 {
			http.Error(w, fmt.Sprintf("status %q: want a number from 200 to 599", text), http.StatusBadRequest)
			return
		}
	}
	var delay time.Duration
	if text := r.URL.Query().Get("delay"); text != "" {
		var err error
		if delay, err = time.ParseDuration(text); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	s.record(answer)
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// If the client is gone there is nobody to tell.
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *server) serveTCP(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go s.echoLines(conn)
	}
}

// echoLines answers each line with one line of JSON.
func (s *server) echoLines(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		answer := Answer{Hostname: s.hostname, Version: s.version, Protocol: "TCP", RemoteAddr: conn.RemoteAddr().String(), Body: lines.Text()}
		s.record(answer)
		if json.NewEncoder(conn).Encode(answer) != nil {
			return
		}
	}
}

func (s *server) serveGRPC(ctx context.Context, listener net.Listener) error {
	server := grpc.NewServer()
	register(server, s)
	stop := context.AfterFunc(ctx, func() {
		force := time.AfterFunc(drain, server.Stop)
		defer force.Stop()
		server.GracefulStop()
	})
	defer stop()
	return server.Serve(listener)
}

// record writes one line of JSON per request.
func (s *server) record(answer Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// If nobody reads the log, the answer is still right.
	_ = s.log.Encode(answer)
}
