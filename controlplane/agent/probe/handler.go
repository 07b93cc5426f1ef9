// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
)

// maxBody is as much as the kubelet reads of an answer.
const maxBody = 10 << 10

// Handler sends probes to the application at the pod's own address.
type Handler struct {
	probers Probers
	pod     netip.Addr
	dialer  net.Dialer
	http    *http.Client
}

// New makes a handler for the pod with an address.
func New(probers Probers, pod netip.Addr) *Handler {
	h := &Handler{probers: probers, pod: pod}
	// From this source the redirection lets it pass to the application as it is.
	source := net.IPv4(127, 0, 0, 6)
	if pod.Is6() {
		source = net.ParseIP("::6")
	}
	h.dialer.LocalAddr = &net.TCPAddr{IP: source}
	h.http = &http.Client{
		Transport: &http.Transport{
			DialContext:       h.dialer.DialContext,
			DisableKeepAlives: true,
			// The kubelet doesn't verify either: a probe proves life, not identity.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		},
		CheckRedirect: sameHost,
	}
	return h
}

// ServeHTTP answers with what the application answered; 404 for a probe that
// the pod doesn't have.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, ok := h.probers[r.URL.Path]
	if !ok {
		http.Error(w, "the pod has no such probe", http.StatusNotFound)
		return
	}
	ctx := r.Context()
	if !strings.HasPrefix(r.URL.Path, lifecyclePrefix) {
		// A hook may take as long as the pod's grace period, which the kubelet minds.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout())
		defer cancel()
	}
	switch {
	case p.HTTPGet != nil:
		h.get(ctx, w, p.HTTPGet, r.UserAgent())
	case p.TCPSocket != nil:
		answer(w, h.connect(ctx, p.TCPSocket))
	case p.GRPC != nil:
		answer(w, h.grpc(ctx, p.GRPC))
	}
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (h *Handler) address(port int) string {
	return net.JoinHostPort(h.pod.String(), strconv.Itoa(port))
}

func (h *Handler) get(ctx context.Context, w http.ResponseWriter, probe *corev1.HTTPGetAction, agent string) {
	target := &url.URL{Scheme: "http", Host: h.address(probe.Port.IntValue()), Path: probe.Path}
	if strings.EqualFold(string(probe.Scheme), "https") {
		target.Scheme = "https"
	}
	if parsed, err := url.Parse(probe.Path); err == nil {
		target.Path, target.RawPath, target.RawQuery = parsed.Path, parsed.RawPath, parsed.RawQuery
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		answer(w, fmt.Errorf("make the probe's request: %w", err))
		return
	}
	request.Header.Set("User-Agent", agent)
	request.Header.Set("Accept", "*/*")
	for _, header := range probe.HTTPHeaders {
		switch {
		case strings.EqualFold(header.Name, "Host"):
			request.Host = header.Value
		case strings.EqualFold(header.Name, "User-Agent"), strings.EqualFold(header.Name, "Accept"):
			request.Header.Set(header.Name, header.Value)
		default:
			request.Header.Add(header.Name, header.Value)
		}
	}
	response, err := h.http.Do(request)
	if err != nil {
		answer(w, err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(response.Body, maxBody))
}

// sameHost follows a redirection inside the application only, as the kubelet
// does; one that leads elsewhere is the answer.
func sameHost(next *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return fmt.Errorf("the application redirects a probe ten times")
	}
	if next.URL.Host != via[0].URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

func (h *Handler) connect(ctx context.Context, probe *corev1.TCPSocketAction) error {
	conn, err := h.dialer.DialContext(ctx, "tcp", h.address(probe.Port.IntValue()))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (h *Handler) grpc(ctx context.Context, probe *corev1.GRPCAction) error {
	conn, err := grpc.NewClient("passthrough:///"+h.address(int(probe.Port)),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return h.dialer.DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	service := ""
	if probe.Service != nil {
		service = *probe.Service
	}
	response, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
	if err != nil {
		return err
	}
	if response.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("service %q is %s", service, response.GetStatus())
	}
	return nil
}
