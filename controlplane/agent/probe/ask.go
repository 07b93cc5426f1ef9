// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// Asker asks applications whether they live. It is safe for concurrent use.
type Asker struct {
	own    []netip.Addr
	client *http.Client
}

// NewAsker makes one that runs where the applications do: own are the addresses
// of the pod or machine.
func NewAsker(own []netip.Addr) *Asker {
	a := &Asker{own: own}
	a.client = &http.Client{
		Transport: &http.Transport{
			DialContext:       a.dial,
			DisableKeepAlives: true,
			// The kubelet doesn't verify either: a probe proves life, not identity.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		},
		CheckRedirect: sameHost,
	}
	return a
}

// dial an address. What goes to an own one passes the redirection as it is, from
// the source that the redirection knows; elsewhere nobody would answer that.
func (a *Asker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	if at, err := netip.ParseAddrPort(address); err == nil && slices.Contains(a.own, at.Addr().Unmap()) {
		source := net.IPv4(127, 0, 0, 6)
		if at.Addr().Unmap().Is6() {
			source = net.ParseIP("::6")
		}
		d.LocalAddr = &net.TCPAddr{IP: source}
	}
	return d.DialContext(ctx, network, address)
}

// Do sends a request. Redirections are followed on the same host only.
func (a *Asker) Do(request *http.Request) (*http.Response, error) { return a.client.Do(request) }

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

// Connect is nil if somebody accepts a connection to "host:port".
func (a *Asker) Connect(ctx context.Context, address string) error {
	conn, err := a.dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Serving is nil if the gRPC server at "host:port" says that a service is
// serving; the empty name is the server as a whole.
func (a *Asker) Serving(ctx context.Context, address, service string) error {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithNoProxy(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return a.dial(ctx, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	response, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
	if err != nil {
		return err
	}
	if response.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("service %q is %s", service, response.GetStatus())
	}
	return nil
}
