// SPDX-License-Identifier: Apache-2.0

// Package admin asks Envoy's administration interface, which listens on
// loopback only, for what health and drain need.
package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// limit of what is read of an answer that is held in memory.
const limit = 4 << 20

// Client of one Envoy. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New takes the address of the interface ("127.0.0.1:15000").
func New(address string) *Client {
	return &Client{base: "http://" + address, http: &http.Client{
		// The environment's proxies are not for the proxy itself.
		Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second},
	}}
}

// Live returns nil when Envoy has started and serves, and why not otherwise.
func (c *Client) Live(ctx context.Context) error {
	body, code, err := c.do(ctx, http.MethodGet, "/ready")
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("envoy is %s", strings.TrimSpace(body))
	}
	return nil
}

// Stats are the counters and gauges whose names fit a regular expression.
func (c *Client) Stats(ctx context.Context, filter *regexp.Regexp) (map[string]uint64, error) {
	body, code, err := c.do(ctx, http.MethodGet, "/stats?filter="+url.QueryEscape(filter.String()))
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("envoy answers %d to a question for statistics", code)
	}
	return parseStats(body), nil
}

func parseStats(body string) map[string]uint64 {
	out := map[string]uint64{}
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			out[name] = n
		}
	}
	return out
}

// Drain asks Envoy to tell its clients to go elsewhere: HTTP/1 answers carry
// Connection: close, HTTP/2 connections get GOAWAY. Listeners stay open for
// Envoy's drain time. With inbound, only listeners of direction INBOUND.
func (c *Client) Drain(ctx context.Context, inbound bool) error {
	path := "/drain_listeners?graceful&skip_exit"
	if inbound {
		path = "/drain_listeners?inboundonly&graceful&skip_exit"
	}
	body, code, err := c.do(ctx, http.MethodPost, path)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("envoy answers %d to draining: %s", code, strings.TrimSpace(body))
	}
	return nil
}

// Refuse makes a sidecar answer what comes by mesh TLS in its application's
// stead, so that callers' sidecars send it elsewhere.
func (c *Client) Refuse(ctx context.Context) error {
	body, code, err := c.do(ctx, http.MethodPost, "/runtime_modify?"+envoy.TerminatingKey+"=100")
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("envoy answers %d to a change of its runtime: %s", code, strings.TrimSpace(body))
	}
	return nil
}

// activeConnections are those of listeners as a whole; the parts by worker
// would count them twice.
var activeConnections = regexp.MustCompile(`^listener\..*\.downstream_cx_active$`)

// Connections counts the connections to listeners, without those that are
// there for health and metrics and without this very question.
func (c *Client) Connections(ctx context.Context) (uint64, error) {
	stats, err := c.Stats(ctx, activeConnections)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for name, n := range stats {
		switch listener := strings.TrimSuffix(strings.TrimPrefix(name, "listener."), ".downstream_cx_active"); {
		case listener == "admin" || strings.HasPrefix(listener, "admin."), strings.Contains(listener, ".worker_"):
		case listener == "agent", listener == "prometheus_stats":
		default:
			sum += n
		}
	}
	return sum, nil
}

// Prometheus opens the stream of all statistics in Prometheus' text format.
// The caller closes it.
func (c *Client) Prometheus(ctx context.Context) (io.ReadCloser, error) {
	response, err := c.open(ctx, http.MethodGet, "/stats/prometheus")
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("envoy answers %d to a question for statistics", response.StatusCode)
	}
	return response.Body, nil
}

func (c *Client) do(ctx context.Context, method, path string) (string, int, error) {
	response, err := c.open(ctx, method, path)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, limit))
	if err != nil {
		return "", 0, fmt.Errorf("ask envoy: %w", err)
	}
	return string(body), response.StatusCode, nil
}

func (c *Client) open(ctx context.Context, method, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask envoy: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask envoy: %w", err)
	}
	return response, nil
}
