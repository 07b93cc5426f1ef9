// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/agent/probe"
)

// Probe is what is asked, how often, and what counts.
type Probe struct {
	// Ask is nil if the application can take calls.
	Ask func(context.Context) error
	// Delay is the pause before the first, Period from each to the next; none
	// takes longer than Timeout.
	Delay, Timeout, Period time.Duration
	// Successes in a row make it ready, Failures in a row unready.
	Successes, Failures int
}

// Defaults as Istio's API has them.
const (
	defaultTimeout   = 1
	defaultPeriod    = 10
	defaultSuccesses = 1
	defaultFailures  = 3
)

// Parse reads a WorkloadGroup's probe for a machine with some addresses, of
// which the first is asked where the probe names no host. Without a probe it is
// nil. Errors name the field to mend.
func Parse(p *networking.ReadinessProbe, own []netip.Addr) (*Probe, error) {
	if p == nil {
		return nil, nil
	}
	for _, n := range []struct {
		field string
		value int32
	}{
		{"initialDelaySeconds", p.GetInitialDelaySeconds()},
		{"timeoutSeconds", p.GetTimeoutSeconds()},
		{"periodSeconds", p.GetPeriodSeconds()},
		{"successThreshold", p.GetSuccessThreshold()},
		{"failureThreshold", p.GetFailureThreshold()},
	} {
		if n.value < 0 {
			return nil, fmt.Errorf("%s is %d: give a number from 0 on, or leave it out", n.field, n.value)
		}
	}
	ask, err := parseMethod(p, own)
	if err != nil {
		return nil, err
	}
	return &Probe{
		Ask:       ask,
		Delay:     seconds(p.GetInitialDelaySeconds(), 0),
		Timeout:   seconds(p.GetTimeoutSeconds(), defaultTimeout),
		Period:    seconds(p.GetPeriodSeconds(), defaultPeriod),
		Successes: int(cmp.Or(p.GetSuccessThreshold(), defaultSuccesses)),
		Failures:  int(cmp.Or(p.GetFailureThreshold(), defaultFailures)),
	}, nil
}

func seconds(n, otherwise int32) time.Duration {
	return time.Duration(cmp.Or(n, otherwise)) * time.Second
}

func parseMethod(p *networking.ReadinessProbe, own []netip.Addr) (func(context.Context) error, error) {
	asker := probe.NewAsker(own)
	switch m := p.GetHealthCheckMethod().(type) {
	case *networking.ReadinessProbe_HttpGet:
		return parseGet(asker, m.HttpGet, own)
	case *networking.ReadinessProbe_TcpSocket:
		at, err := address("tcpSocket", m.TcpSocket.GetHost(), m.TcpSocket.GetPort(), own)
		return func(ctx context.Context) error { return asker.Connect(ctx, at) }, err
	case *networking.ReadinessProbe_Grpc:
		at, err := address("grpc", "", m.Grpc.GetPort(), own)
		return func(ctx context.Context) error { return asker.Serving(ctx, at, m.Grpc.GetService()) }, err
	case *networking.ReadinessProbe_Exec:
		command := m.Exec.GetCommand()
		if len(command) == 0 || command[0] == "" {
			return nil, fmt.Errorf("exec.command is empty: give the program and its arguments")
		}
		return func(ctx context.Context) error { return execute(ctx, command) }, nil
	}
	return nil, fmt.Errorf("nothing is probed: set one of httpGet, tcpSocket, exec and grpc")
}

func address(field, host string, port uint32, own []netip.Addr) (string, error) {
	if port < 1 || port > 65535 {
		return "", fmt.Errorf("%s.port is %d: give a number from 1 to 65535", field, port)
	}
	if host == "" {
		host = "localhost"
		if len(own) > 0 {
			host = own[0].String()
		}
	}
	return net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10)), nil
}

func parseGet(asker *probe.Asker, p *networking.HTTPHealthCheckConfig, own []netip.Addr) (func(context.Context) error, error) {
	at, err := address("httpGet", p.GetHost(), p.GetPort(), own)
	if err != nil {
		return nil, err
	}
	scheme := strings.ToLower(cmp.Or(p.GetScheme(), "http"))
	if scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("httpGet.scheme is %.20q: give HTTP or HTTPS", p.GetScheme())
	}
	target := &url.URL{Scheme: scheme, Host: at, Path: "/"}
	if p.GetPath() != "" {
		path, err := url.Parse(p.GetPath())
		if err != nil || path.Host != "" || path.Scheme != "" || !strings.HasPrefix(path.Path, "/") {
			return nil, fmt.Errorf("httpGet.path is %.100q: give a path such as /healthz", p.GetPath())
		}
		target.Path, target.RawPath, target.RawQuery = path.Path, path.RawPath, path.RawQuery
	}
	headers, host := http.Header{"User-Agent": {"isthmesh-probe/1.0"}, "Accept": {"*/*"}}, ""
	given := map[string]bool{}
	for i, h := range p.GetHttpHeaders() {
		name := http.CanonicalHeaderKey(h.GetName())
		if name == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(h.GetValue(), "\r\n\x00") {
			return nil, fmt.Errorf("httpGet.httpHeaders[%d] is no header: %.50q", i, h.GetName())
		}
		if name == "Host" {
			host = h.GetValue()
			continue
		}
		if !given[name] {
			headers.Del(name) // instead of ours
		}
		given[name] = true
		headers.Add(name, h.GetValue())
	}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
		if err != nil {
			return fmt.Errorf("make the probe's request: %w", err)
		}
		request.Header, request.Host = headers.Clone(), host
		return get(asker, request)
	}, nil
}
