// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// maxBody is how much of an answer is read.
const maxBody = 1 << 20

// headerFlags takes KEY=VALUE again and again.
type headerFlags http.Header

func (h headerFlags) String() string { return "" }

func (h headerFlags) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found || key == "" {
		return fmt.Errorf("header %q: want KEY=VALUE", text)
	}
	http.Header(h).Add(key, value)
	return nil
}

// target is what is called.
type target struct {
	url     *url.URL
	method  string
	headers http.Header
	// expect is the wanted status; 0 means any of 200 to 299.
	expect  int
	timeout time.Duration
}

func callCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("echo call", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("url", "", "what to call: http://HOST[:PORT]/PATH, or grpc://HOST:PORT")
	method := flags.String("method", http.MethodGet, "the HTTP method")
	headers := headerFlags{}
	flags.Var(headers, "header", "a header as KEY=VALUE; may be given more than once")
	expect := flags.Int("expect", 0, "the status that is a success; 0 for any of 200 to 299")
	timeout := flags.Duration("timeout", 5*time.Second, "how long one request may take")
	fresh := flags.Bool("new-connections", false, "open a connection for each request")
	http2 := flags.Bool("http2", false, "speak HTTP/2 without TLS")
	announce := flags.Bool("announce", false, "tell on the standard error when a status is seen for the first time")
	p, out := paceFlags(flags)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	where, err := url.Parse(*address)
	if err == nil && (where.Host == "" || where.Scheme != "http" && where.Scheme != "grpc") {
		err = fmt.Errorf("--url %q: want http://HOST[:PORT]/PATH or grpc://HOST:PORT", *address)
	}
	if err := errors.Join(err, p.check()); err != nil {
		fmt.Fprintln(stderr, "echo call:", err)
		return 2
	}
	t := target{url: where, method: *method, headers: http.Header(headers), expect: *expect, timeout: *timeout}
	send, closeAll, err := t.sender(p.concurrency, *fresh, *http2)
	if err != nil {
		fmt.Fprintln(stderr, "echo call:", err)
		return 1
	}
	defer closeAll()
	if *announce {
		send = announced(send, stderr)
	}
	return report(ctx, *p, send, *out, stdout, stderr)
}

// announced sends as before, and says of each status when it was first seen.
func announced(send func(context.Context) result, stderr io.Writer) func(context.Context) result {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(ctx context.Context) result {
		r := send(ctx)
		mu.Lock()
		defer mu.Unlock()
		if !seen[r.status] {
			seen[r.status] = true
			fmt.Fprintf(stderr, "first %s %s\n", r.status, time.Now().Format(time.RFC3339Nano))
		}
		return r
	}
}

// paceFlags are the flags that all callers have.
func paceFlags(flags *flag.FlagSet) (*pace, *string) {
	p := &pace{}
	flags.IntVar(&p.count, "count", 1, "how many requests; 0 for as many as the duration allows")
	flags.Float64Var(&p.rate, "rate", 0, "requests per second; 0 for as fast as possible")
	flags.IntVar(&p.concurrency, "concurrency", 0, "how many requests at the same time; default 1, or with a rate 64")
	flags.DurationVar(&p.duration, "duration", 0, "stop sending after this time")
	return p, flags.String("out", "json", "how to print the summary: json, or none")
}

func (p *pace) check() error {
	if p.concurrency == 0 {
		p.concurrency = 1
		if p.rate > 0 {
			p.concurrency = 64
		}
	}
	if p.count < 0 || p.rate < 0 || p.concurrency < 0 || p.duration < 0 {
		return errors.New("--count, --rate, --concurrency and --duration must not be negative")
	}
	if p.count == 0 && p.duration == 0 {
		return errors.New("--count 0 needs a --duration")
	}
	return nil
}

// report sends, prints the summary and returns the exit status.
func report(ctx context.Context, p pace, send func(context.Context) result, out string, stdout, stderr io.Writer) int {
	if out != "json" && out != "none" {
		fmt.Fprintf(stderr, "echo: --out %q: want json or none\n", out)
		return 2
	}
	begin := time.Now()
	summary := summarise(p.run(ctx, send), time.Since(begin))
	if out == "json" {
		printer := json.NewEncoder(stdout)
		printer.SetIndent("", "  ")
		if err := printer.Encode(summary); err != nil {
			fmt.Fprintln(stderr, "echo:", err)
			return 1
		}
	}
	if summary.Failed > 0 || summary.OK == 0 {
		return 1
	}
	return 0
}

// sender returns what sends one request, and what closes its connections.
func (t target) sender(concurrency int, fresh, http2 bool) (func(context.Context) result, func(), error) {
	if t.url.Scheme == "grpc" {
		conn, err := grpc.NewClient("passthrough:///"+t.url.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context) result { return t.sendGRPC(ctx, conn) }, func() { conn.Close() }, nil
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{}).DialContext,
		MaxIdleConns:        concurrency,
		MaxIdleConnsPerHost: concurrency,
		DisableKeepAlives:   fresh,
		DisableCompression:  true,
	}
	if http2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	client := &http.Client{
		Transport: transport,
		// An answer is an answer: a redirect is not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) result { return t.sendHTTP(ctx, client) }, transport.CloseIdleConnections, nil
}

func (t target) sendHTTP(ctx context.Context, client *http.Client) result {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, t.method, t.url.String(), nil)
	if err != nil {
		return result{status: "error", err: err}
	}
	for key, values := range t.headers {
		request.Header[key] = values
	}
	if host := t.headers.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := client.Do(request)
	if err != nil {
		return failure(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return failure(err)
	}
	r := result{status: strconv.Itoa(response.StatusCode)}
	var answer Answer
	if json.Unmarshal(body, &answer) == nil && answer.Hostname != "" {
		r.answer = &answer
	}
	if !t.expects(response.StatusCode) {
		r.err = fmt.Errorf("status %d: %s", response.StatusCode, firstLine(body))
	}
	return r
}

func (t target) expects(status int) bool {
	if t.expect != 0 {
		return status == t.expect
	}
	return status >= 200 && status < 300
}

func (t target) sendGRPC(ctx context.Context, conn *grpc.ClientConn) result {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	answer, err := callGRPC(ctx, conn)
	if err != nil {
		return result{status: status.Code(err).String(), err: err}
	}
	return result{status: "OK", answer: &answer}
}

// failure names what kept a request from having a status.
func failure(err error) result {
	kind := "error"
	var timeout interface{ Timeout() bool }
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		kind = "dns"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		kind = "timeout"
	}
	return result{status: kind, err: err}
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if len(line) > 200 {
		line = line[:200] + "…"
	}
	return line
}
