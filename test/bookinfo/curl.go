// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// What curl exits with.
const (
	curlUsage   = 2
	curlResolve = 6
	curlConnect = 7
	curlStatus  = 22
	curlFile    = 23
	curlTimeout = 28
	curlTLS     = 35
	curlReceive = 56
)

// curl are the options of curl that the tasks of Istio's documentation use.
type curl struct {
	silent, showError, include, head, verbose, follow, insecure, fail bool
	output, write, method, cacert, cert, key, agent, user, cookie     string
	headers, data                                                     []string
	maxTime, connectTimeout                                           float64
}

func runCurl(ctx context.Context, p process) int {
	var c curl
	flags := pflag.NewFlagSet("curl", pflag.ContinueOnError)
	flags.SetOutput(p.stderr)
	flags.BoolVarP(&c.silent, "silent", "s", false, "say nothing of progress")
	flags.BoolVarP(&c.showError, "show-error", "S", false, "say what went wrong even when silent")
	flags.BoolVarP(&c.include, "include", "i", false, "print the answer's headers too")
	flags.BoolVarP(&c.head, "head", "I", false, "ask for headers only")
	flags.BoolVarP(&c.verbose, "verbose", "v", false, "tell of the request and the answer on stderr")
	flags.BoolVarP(&c.follow, "location", "L", false, "follow redirects")
	flags.BoolVarP(&c.insecure, "insecure", "k", false, "take any certificate")
	flags.BoolVarP(&c.fail, "fail", "f", false, "exit with 22 if the status is 400 or more")
	flags.StringVarP(&c.output, "output", "o", "", "file to write the answer to")
	flags.StringVarP(&c.write, "write-out", "w", "", "what to print at the end, such as %{http_code}")
	flags.StringVarP(&c.method, "request", "X", "", "method")
	flags.StringVar(&c.cacert, "cacert", "", "file of the authorities to trust")
	flags.StringVar(&c.cert, "cert", "", "file of the client's certificate")
	flags.StringVar(&c.key, "key", "", "file of the client's key")
	flags.StringVarP(&c.agent, "user-agent", "A", "curl/8.16.0", "user agent")
	flags.StringVarP(&c.user, "user", "u", "", "user:password")
	flags.StringVarP(&c.cookie, "cookie", "b", "", "cookies as NAME=VALUE")
	flags.StringArrayVarP(&c.headers, "header", "H", nil, "header, such as 'Host: example.com'")
	flags.StringArrayVarP(&c.data, "data", "d", nil, "body")
	flags.Float64VarP(&c.maxTime, "max-time", "m", 0, "seconds for all of it")
	flags.Float64Var(&c.connectTimeout, "connect-timeout", 0, "seconds for the connection")
	if err := flags.Parse(p.args); err != nil || flags.NArg() != 1 {
		fmt.Fprintln(p.stderr, "curl: want options and one URL")
		return curlUsage
	}
	url := flags.Arg(0)
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	code, err := c.run(ctx, p, url)
	if err != nil && (!c.silent || c.showError) {
		fmt.Fprintf(p.stderr, "curl: (%d) %v\n", code, err)
	}
	return code
}

// run sends the request and prints the answer; it returns what curl exits with.
func (c curl) run(ctx context.Context, p process, url string) (int, error) {
	if c.maxTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.maxTime*float64(time.Second)))
		defer cancel()
	}
	client, err := c.client()
	if err != nil {
		return curlTLS, err
	}
	request, err := c.request(ctx, url)
	if err != nil {
		return curlUsage, err
	}
	start := time.Now()
	if c.verbose {
		fmt.Fprintf(p.stderr, "> %s %s HTTP/1.1\n> Host: %s\n", request.Method, request.URL.RequestURI(), request.Host)
		c.tell(p.stderr, "> ", request.Header)
	}
	response, err := client.Do(request)
	if err != nil {
		c.finish(p.stdout, 0, time.Since(start))
		return cause(err), err
	}
	defer response.Body.Close()
	if c.verbose {
		fmt.Fprintf(p.stderr, "< %s %s\n", response.Proto, response.Status)
		c.tell(p.stderr, "< ", response.Header)
	}
	out := p.stdout
	if c.output != "" {
		file, err := os.Create(c.output)
		if err != nil {
			return curlFile, err
		}
		defer file.Close()
		out = file
	}
	if c.include || c.head {
		fmt.Fprintf(out, "%s %s\n", response.Proto, response.Status)
		c.tell(out, "", response.Header)
	}
	failed := c.fail && response.StatusCode >= http.StatusBadRequest
	if !failed {
		if _, err := io.Copy(out, response.Body); err != nil {
			c.finish(p.stdout, response.StatusCode, time.Since(start))
			return curlReceive, err
		}
	}
	c.finish(p.stdout, response.StatusCode, time.Since(start))
	if failed {
		return curlStatus, fmt.Errorf("the requested URL returned error: %d", response.StatusCode)
	}
	return 0, nil
}

// tell prints headers, an empty line after them.
func (curl) tell(out io.Writer, mark string, headers http.Header) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, value := range headers[name] {
			fmt.Fprintf(out, "%s%s: %s\n", mark, strings.ToLower(name), value)
		}
	}
	fmt.Fprintln(out, mark)
}

func (c curl) finish(out io.Writer, status int, took time.Duration) {
	fmt.Fprint(out, strings.NewReplacer(
		"%{http_code}", fmt.Sprintf("%03d", status), "%{response_code}", fmt.Sprintf("%03d", status),
		"%{time_total}", fmt.Sprintf("%.6f", took.Seconds()), `\n`, "\n", `\t`, "\t").Replace(c.write))
}

func (c curl) request(ctx context.Context, url string) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if c.head {
		method = http.MethodHead
	}
	if len(c.data) > 0 {
		method, body = http.MethodPost, strings.NewReader(strings.Join(c.data, "&"))
	}
	if c.method != "" {
		method = c.method
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", c.agent)
	request.Header.Set("Accept", "*/*")
	if len(c.data) > 0 {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.cookie != "" {
		request.Header.Set("Cookie", c.cookie)
	}
	if name, password, given := strings.Cut(c.user, ":"); given {
		request.SetBasicAuth(name, password)
	}
	for _, h := range c.headers {
		name, value, _ := strings.Cut(h, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "host"):
			request.Host = value
		case value == "":
			request.Header.Del(name)
		default:
			request.Header.Set(name, value)
		}
	}
	return request, nil
}

func (c curl) client() (*http.Client, error) {
	trust := &tls.Config{InsecureSkipVerify: c.insecure} //nolint:gosec // that is what -k asks for
	if c.cacert != "" {
		text, err := os.ReadFile(c.cacert)
		if err != nil {
			return nil, err
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in it", c.cacert)
		}
	}
	if c.cert != "" {
		own, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, err
		}
		trust.Certificates = []tls.Certificate{own}
	}
	dialer := &net.Dialer{Timeout: time.Duration(c.connectTimeout * float64(time.Second))}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: trust, DisableKeepAlives: true, DisableCompression: true}}
	if !c.follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client, nil
}

// cause is the exit status that curl has for what went wrong.
func cause(err error) int {
	var name *net.DNSError
	var dial *net.OpError
	var unverified *tls.CertificateVerificationError
	var alert tls.AlertError
	switch {
	case errors.As(err, &name):
		return curlResolve
	case errors.Is(err, context.DeadlineExceeded):
		return curlTimeout
	case errors.As(err, &unverified), errors.As(err, &alert):
		return curlTLS
	case errors.As(err, &dial) && dial.Op == "dial":
		return curlConnect
	}
	return curlReceive
}
