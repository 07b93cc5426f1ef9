// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCurl(t *testing.T) {
	server := httptest.NewServer(httpbin())
	defer server.Close()
	for name, c := range map[string]struct {
		args []string
		code int
		out  []string
	}{
		"Body":      {[]string{"-s", server.URL + "/get?a=b"}, 0, []string{`"args":{"a":["b"]}`, `"User-Agent":["curl/8.16.0"]`}},
		"Status":    {[]string{"-sS", "-o", "/dev/null", "-w", `%{http_code}\n`, server.URL + "/status/503"}, 0, []string{"503\n"}},
		"Head":      {[]string{"-sI", "-HHost:example.com", server.URL + "/headers"}, 0, []string{"HTTP/1.1 200 OK\n", "content-type: application/json"}},
		"Header":    {[]string{"-s", "-H", "X-A: b", "--header", "Host: example.com", server.URL + "/headers"}, 0, []string{`"X-A":["b"]`, `"Host":["example.com"]`}},
		"Post":      {[]string{"-s", "-d", "one", "-d", "two", server.URL + "/post"}, 0, []string{`"data":"one\u0026two"`, `"method":"POST"`}},
		"Timeout":   {[]string{"-s", "-m", "0.2", "-w", "%{http_code}", server.URL + "/delay/5"}, curlTimeout, []string{"000"}},
		"NoHost":    {[]string{"-s", "http://no.such.invalid/"}, curlResolve, nil},
		"Fail":      {[]string{"-sf", server.URL + "/status/404"}, curlStatus, nil},
		"BasicAuth": {[]string{"-s", "-u", "a:b", server.URL + "/headers"}, 0, []string{`"Authorization":["Basic YTpi"]`}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			p := process{args: c.args, env: func(string) string { return "" }, stdout: &out, stderr: &errs}
			if code := runCurl(t.Context(), p); code != c.code {
				t.Errorf("exit %d, want %d: %s", code, c.code, errs.String())
			}
			for _, text := range c.out {
				if !strings.Contains(out.String(), text) {
					t.Errorf("no %q in %q", text, out.String())
				}
			}
		})
	}
}

func TestTCPEcho(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go echoLines(listener, "one")
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "world")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "one world\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestHelloworld(t *testing.T) {
	w := httptest.NewRecorder()
	helloworld("v2", "pod").ServeHTTP(w, httptest.NewRequest("GET", "/hello", nil))
	if got := w.Body.String(); got != "Hello version: v2, instance: pod\n" {
		t.Errorf("%q", got)
	}
}
