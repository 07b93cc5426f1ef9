// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// Error says why a member can't be used: a reason for machines, and a message
// that names the cause and the mend. Both are the same as long as the cause is.
type Error struct {
	Reason, Message string
	// Err is what happened, if something else did.
	Err error
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// explain turns what a request to an API server came to into an *Error.
func explain(err error, server string) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var (
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		certificate x509.CertificateInvalidError
		verify      *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	switch {
	case apierrors.IsUnauthorized(err):
		return &Error{v1alpha1.ReasonUnauthorized, fmt.Sprintf("the API server at %s refuses the kubeconfig's credentials: they may have expired; put a fresh kubeconfig into the Secret", server), err}
	case apierrors.IsForbidden(err):
		return &Error{v1alpha1.ReasonForbidden, fmt.Sprintf("the kubeconfig's user lacks rights in the cluster at %s: %v", server, err), err}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &Error{v1alpha1.ReasonAPIServerUnreachable, fmt.Sprintf("what answers at %s doesn't speak TLS: check the kubeconfig's server", server), err}
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &certificate), errors.As(err, &verify):
		return &Error{v1alpha1.ReasonAPIServerUntrusted, fmt.Sprintf("the certificate that is shown at %s is not one that the kubeconfig trusts (%v): check its server and certificate-authority-data", server, certificateCause(err)), err}
	case isNetwork(err):
		return &Error{v1alpha1.ReasonAPIServerUnreachable, fmt.Sprintf("no API server answers the hub at %s: %s; check that the address is right and that the hub's network reaches it", server, networkCause(err)), err}
	default:
		return &Error{v1alpha1.ReasonAPIServerError, fmt.Sprintf("the API server at %s: %v", server, err), err}
	}
}

func certificateCause(err error) error {
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return verify.Err
	}
	return err
}

func isNetwork(err error) bool {
	var network net.Error
	var address *net.AddrError
	var request *url.Error
	return errors.As(err, &network) || errors.As(err, &address) || errors.As(err, &request) ||
		errors.Is(err, context.DeadlineExceeded) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsServiceUnavailable(err)
}

// networkCause is the innermost cause without what differs from one time to
// the next, such as the local port.
func networkCause(err error) string {
	var lookup *net.DNSError
	var operation *net.OpError
	var network net.Error
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return fmt.Sprintf("the name %s is not known to the hub's DNS", lookup.Name)
	case errors.As(err, &lookup):
		return fmt.Sprintf("the hub's DNS doesn't answer for %s", lookup.Name)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Sprintf("no answer within %s", probeTimeout)
	case errors.As(err, &operation):
		return fmt.Sprintf("%s: %v", operation.Op, innermost(operation.Err))
	case apierrors.IsServiceUnavailable(err):
		return "it is not ready"
	default:
		return innermost(err).Error()
	}
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// Explain turns what a request to the cluster came to into an *Error.
func (c *Cluster) Explain(err error) *Error { return explain(err, c.Server) }
