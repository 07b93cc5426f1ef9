// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serve starts a server on the loopback and returns its addresses.
func serve(t *testing.T, log *bytes.Buffer) (httpAddr, tcpAddr, grpcAddr string) {
	t.Helper()
	s := &server{hostname: "pod-1", version: "v2", log: json.NewEncoder(log)}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); all.Wait() })
	listen := func(run func(context.Context, net.Listener) error) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if err := run(ctx, listener); err != nil {
				t.Error(err)
			}
		})
		return listener.Addr().String()
	}
	return listen(s.serveHTTP), listen(s.serveTCP), listen(s.serveGRPC)
}

func TestCall(t *testing.T) {
	httpAddr, tcpAddr, grpcAddr := serve(t, &bytes.Buffer{})
	good := Summary{
		Sent: 10, OK: 10,
		Statuses: map[string]int{"200": 10}, ByHostname: map[string]int{"pod-1": 10}, ByVersion: map[string]int{"v2": 10},
		Identities: map[string]int{"spiffe://west.shop.example/ns/shop/sa/web": 10},
	}
	ok := good
	ok.Statuses, ok.Identities = map[string]int{"OK": 10}, map[string]int{}
	bad := good
	bad.OK, bad.Failed, bad.Statuses = 0, 10, map[string]int{"503": 10}
	identity := "--header=X-Forwarded-Client-Cert=Hash=1;URI=spiffe://west.shop.example/ns/shop/sa/web"

	cases := map[string]struct {
		args   []string
		want   Summary
		status int
	}{
		"HTTP":        {[]string{"call", "--url=http://" + httpAddr + "/x", "--count=10", "--concurrency=3", identity}, good, 0},
		"HTTP2":       {[]string{"call", "--url=http://" + httpAddr + "/x", "--count=10", "--http2", identity}, good, 0},
		"Rate":        {[]string{"call", "--url=http://" + httpAddr, "--count=10", "--rate=1000", identity}, good, 0},
		"Refused":     {[]string{"call", "--url=http://" + httpAddr + "/?status=503", "--count=10", identity}, bad, 1},
		"ExpectError": {[]string{"call", "--url=http://" + httpAddr + "/?status=503", "--count=10", "--expect=503", identity}, with(good, "503"), 0},
		"GRPC":        {[]string{"call", "--url=grpc://" + grpcAddr, "--count=10"}, ok, 0},
		"Announced":   {[]string{"call", "--url=http://" + httpAddr, "--count=10", "--announce", identity}, good, 0},
		"TCP":         {[]string{"tcp-call", "--address=" + tcpAddr, "--count=10"}, ok, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := run(t.Context(), append(c.args, "--timeout=1m"), &stdout, &stderr); status != c.status {
				t.Errorf("exit status %d, want %d: %s%s", status, c.status, stdout.String(), stderr.String())
			}
			want := `^$`
			if slices.Contains(c.args, "--announce") {
				want = `^first 200 [-0-9:.]+T[0-9:.]+\S+\n$`
			}
			if !regexp.MustCompile(want).MatchString(stderr.String()) {
				t.Errorf("standard error has %q, want %s", stderr.String(), want)
			}
			var got Summary
			if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.P99 <= 0 || got.Max < got.P99 || got.P99 < got.P50 {
				t.Errorf("p50 %v, p99 %v, max %v", got.P50, got.P99, got.Max)
			}
			if (got.Failed > 0) != (len(got.Errors) > 0) {
				t.Errorf("%d failed, errors %q", got.Failed, got.Errors)
			}
			for host, at := range got.Last {
				if time.Since(at) > time.Minute || time.Since(at) < 0 {
					t.Errorf("the last request came to %s at %s", host, at)
				}
			}
			for status, at := range got.First {
				if got.Statuses[status] == 0 || time.Since(at) > time.Minute || time.Since(at) < 0 {
					t.Errorf("the first %s came at %s", status, at)
				}
			}
			if len(got.First) != len(got.Statuses) {
				t.Errorf("first answers are told of %v", got.First)
			}
			got.P50, got.P99, got.Max, got.Seconds, got.Errors, got.Last, got.First = 0, 0, 0, 0, nil, nil, nil
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func with(s Summary, status string) Summary {
	s.Statuses = map[string]int{status: s.Sent}
	return s
}

func TestUnreachable(t *testing.T) {
	const address = "127.0.0.1:1" // one that was free a moment ago may be another test's now
	for _, args := range [][]string{
		{"call", "--timeout=1m", "--url=http://" + address},
		{"call", "--timeout=1m", "--url=grpc://" + address},
		{"tcp-call", "--timeout=1m", "--address=" + address},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, &stdout, &stderr); status != 1 {
			t.Errorf("%v: exit status %d, want 1", args, status)
		}
		if !strings.Contains(stdout.String(), "refused") {
			t.Errorf("%v: no word of the cause in %s", args, stdout.String())
		}
	}
}

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"None":     {nil, "echo serve"},
		"NoURL":    {[]string{"call"}, `--url "": want http://`},
		"HTTPS":    {[]string{"call", "--url=https://x"}, "want http://"},
		"Endless":  {[]string{"call", "--url=http://x", "--count=0"}, "--duration"},
		"Negative": {[]string{"tcp-call", "--address=x:1", "--rate=-1"}, "negative"},
		"NoPort":   {[]string{"tcp-call", "--address=x"}, "want HOST:PORT"},
		"Output":   {[]string{"call", "--url=http://x", "--out=xml"}, "want json or none"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := run(t.Context(), c.args, &stdout, &stderr); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			if !strings.Contains(stderr.String(), c.want) {
				t.Errorf("got %q, want it to hold %q", stderr.String(), c.want)
			}
		})
	}
}

// onWrite calls a function for what is written.
type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

func TestDrain(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving, end := context.WithCancel(t.Context())
	// The server is told to end as soon as it has logged the request.
	s := &server{hostname: "pod-1", log: json.NewEncoder(onWrite(end))}
	ended := make(chan error, 1)
	go func() { ended <- s.serveHTTP(serving, listener) }()

	var stdout, stderr bytes.Buffer
	called := make(chan int, 1)
	go func() {
		called <- run(t.Context(), []string{"call", "--timeout=1m", "--url=http://" + listener.Addr().String() + "/?delay=300ms"}, &stdout, &stderr)
	}()
	if status := <-called; status != 0 {
		t.Errorf("a request that was under way failed: %s%s", stdout.String(), stderr.String())
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestURIs(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  []string
	}{
		"One":     {`By=spiffe://a/ns/x/sa/y;Hash=1;Subject="";URI=spiffe://b/ns/x/sa/z`, []string{"spiffe://b/ns/x/sa/z"}},
		"Two":     {`URI=spiffe://a,By=x;URI=spiffe://b`, []string{"spiffe://a", "spiffe://b"}},
		"Quoted":  {`Subject="CN=a,URI=spiffe://evil;O=b";URI="spiffe://good"`, []string{"spiffe://good"}},
		"Escaped": {`Subject="a\",URI=spiffe://evil";URI=spiffe://good`, []string{"spiffe://good"}},
		"None":    {`Hash=1`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, uris(c.value)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
