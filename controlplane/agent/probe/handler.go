// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxBody is as much as the kubelet reads of an answer.
const maxBody = 10 << 10

// Handler sends probes to the application at the pod's own address.
type Handler struct {
	probers Probers
	pod     netip.Addr
	ask     *Asker
}

// New makes a handler for the pod with an address.
func New(probers Probers, pod netip.Addr) *Handler {
	return &Handler{probers: probers, pod: pod, ask: NewAsker([]netip.Addr{pod})}
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
		answer(w, h.ask.Connect(ctx, h.address(p.TCPSocket.Port.IntValue())))
	case p.GRPC != nil:
		answer(w, h.ask.Serving(ctx, h.address(int(p.GRPC.Port)), service(p.GRPC)))
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
	response, err := h.ask.Do(request)
	if err != nil {
		answer(w, err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(response.Body, maxBody))
}

// service that a probe names; the empty one is the server as a whole.
func service(p *corev1.GRPCAction) string {
	if p.Service == nil {
		return ""
	}
	return *p.Service
}
