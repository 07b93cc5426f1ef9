// SPDX-License-Identifier: Apache-2.0

package member

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// Hub says where the hub is and how it is verified.
type Hub struct {
	// Address is "host:port".
	Address string
	// ServerName is the DNS name in the hub's certificate, and the SNI.
	ServerName string
	// Roots of the federation: the hub's certificate is issued by one of them directly.
	Roots trust.Bundle
}

// HubError tells why the hub gave no certificate or no stream.
type HubError struct {
	// Reason for machines.
	Reason HubReason
	// Message says what is wrong and what mends it.
	Message string
}

func (e *HubError) Error() string { return e.Message }

// HubReason is why the hub did not do as asked.
type HubReason string

// The reasons. Those of a token come from the hub by the same names.
const (
	// HubUnreachable: no connection, no answer, or not now. It passes by itself.
	HubUnreachable HubReason = "HubUnreachable"
	// HubNotTrusted: who answered is not the hub that the enrolment names.
	HubNotTrusted HubReason = "HubNotTrusted"
	// TokenWrong, TokenExpired and TokenSpent: an enrolment needs another token.
	TokenWrong   HubReason = "TokenWrong"
	TokenExpired HubReason = "TokenExpired"
	TokenSpent   HubReason = "TokenSpent"
	// Refused: the hub does not take this member, or what it sent.
	Refused HubReason = "Refused"
)

// verdict keeps what was wrong with the hub's certificate: gRPC would only say
// that the connection failed.
type verdict struct {
	mu  sync.Mutex
	err error
}

func (v *verdict) set(err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
	return err
}

func (v *verdict) get() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// dial makes a connection, which is only opened by the first call on it.
func (h Hub) dial(certificate func() (*tls.Certificate, error)) (*grpc.ClientConn, *verdict, error) {
	if _, _, err := net.SplitHostPort(h.Address); err != nil {
		return nil, nil, &HubError{Refused, fmt.Sprintf("hub address %q is not host:port: %v", h.Address, err)}
	}
	if len(h.Roots) == 0 {
		return nil, nil, &HubError{HubNotTrusted, fmt.Sprintf("no roots to verify the hub at %s by", h.Address)}
	}
	var show func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	if certificate != nil {
		show = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate() }
	}
	v := &verdict{}
	config := trust.HubClientConfig(h.ServerName, func() trust.Bundle { return h.Roots }, show, time.Now)
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error { return v.set(verify(state)) }
	conn, err := grpc.NewClient("passthrough:///"+h.Address,
		grpc.WithNoProxy(), // the environment decides nothing here
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: grpcbackoff.DefaultConfig, MinConnectTimeout: 10 * time.Second}),
	)
	if err != nil {
		return nil, nil, &HubError{Refused, fmt.Sprintf("hub address %q: %v", h.Address, err)}
	}
	return conn, v, nil
}

// explain turns what gRPC says into what a person can act on.
func (h Hub) explain(err error, v *verdict) error {
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == trust.HubDomain {
			switch r := HubReason(info.GetReason()); r {
			case TokenWrong, TokenExpired, TokenSpent:
				return &HubError{r, fmt.Sprintf("hub at %s: %s", h.Address, st.Message())}
			}
			return &HubError{Refused, fmt.Sprintf("hub at %s: %s", h.Address, st.Message())}
		}
	}
	switch st.Code() {
	case codes.OK, codes.Canceled:
		return errors.New(st.Message())
	case codes.Unavailable, codes.DeadlineExceeded:
		if untrusted := v.get(); untrusted != nil {
			return &HubError{HubNotTrusted, fmt.Sprintf(
				"who answers at %s is not the hub %s of this federation: %v: check the address, and roots.pem in Secret isthmesh-enrolment", h.Address, h.ServerName, untrusted)}
		}
		return &HubError{HubUnreachable, fmt.Sprintf("can't reach the hub at %s: %s", h.Address, st.Message())}
	case codes.ResourceExhausted:
		return &HubError{HubUnreachable, fmt.Sprintf("the hub at %s is busy: %s", h.Address, st.Message())}
	}
	return &HubError{Refused, fmt.Sprintf("hub at %s refused: %s", h.Address, st.Message())}
}
