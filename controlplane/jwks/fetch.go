// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const (
	// maxBytes of a document.
	maxBytes = 256 << 10
	// maxRedirects that are followed.
	maxRedirects = 3
	// defaultTimeout of one fetch, as Istio has it.
	defaultTimeout = 5 * time.Second
	// maxTimeout that a rule may ask for.
	maxTimeout = 30 * time.Second
)

// client that connects only where permit lets it. The check is made on the very
// address that a socket is about to connect to, so names that change their
// meaning and redirects are checked too. It uses no proxy.
func client(permit func(netip.Addr) error, config *tls.Config) *http.Client {
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return &refusal{fmt.Errorf("%q is no address", address)}
		}
		if err := permit(to.Addr()); err != nil {
			return &refusal{err}
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return &refusal{fmt.Errorf("it redirects more than %d times", maxRedirects)}
			}
			return usable(r.URL, via[0].URL.Scheme == "https")
		},
	}
}

// refusal is our own decision, not a failure on the way.
type refusal struct{ error }

func usable(u *url.URL, secure bool) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return &refusal{fmt.Errorf("scheme %q is not used for key sets", u.Scheme)}
	case u.Scheme == "http" && secure:
		return &refusal{errors.New("it leads from https to http")}
	case u.Host == "":
		return &refusal{errors.New("it has no host")}
	}
	return nil
}

// fetch a key set. The document at the address is one, or an OpenID
// configuration that names its address as jwks_uri.
func fetch(ctx context.Context, c *http.Client, address string, timeout time.Duration) (string, error) {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, min(timeout, maxTimeout))
	defer cancel()
	text, err := get(ctx, c, address)
	if err != nil {
		return "", err
	}
	document := struct {
		Keys    json.RawMessage `json:"keys"`
		JWKSURI string          `json:"jwks_uri"`
	}{}
	if err := json.Unmarshal(text, &document); err != nil {
		return "", errors.New("it answers something else than JSON")
	}
	if document.Keys != nil {
		return string(text), nil
	}
	if document.JWKSURI == "" {
		return "", errors.New("it answers neither a key set nor an OpenID configuration")
	}
	from, err := url.Parse(address)
	if err != nil {
		return "", errors.New("it is no address")
	}
	to, err := url.Parse(document.JWKSURI)
	if err != nil {
		return "", errors.New("its jwks_uri is no address")
	}
	if err := usable(to, from.Scheme == "https"); err != nil {
		return "", fmt.Errorf("its jwks_uri: %w", err)
	}
	if text, err = get(ctx, c, document.JWKSURI); err != nil {
		return "", fmt.Errorf("its jwks_uri: %w", err)
	}
	return string(text), nil
}

// get a document. Errors tell nothing of what was answered, and are the same
// each time for the same cause.
func get(ctx context.Context, c *http.Client, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("it is no address")
	}
	if err := usable(r.URL, false); err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := c.Do(r)
	if err != nil {
		return nil, reason(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers with status %d", answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxBytes+1))
	switch {
	case err != nil:
		return nil, reason(ctx, err)
	case len(text) > maxBytes:
		return nil, fmt.Errorf("it answers more than %d bytes", maxBytes)
	}
	return text, nil
}

func reason(ctx context.Context, err error) error {
	var ours *refusal
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &ours):
		return ours.error
	case ctx.Err() != nil:
		return errors.New("it doesn't answer in time")
	case errors.As(err, &dns):
		return fmt.Errorf("the name %q can't be resolved", dns.Name)
	case errors.As(err, &certificate):
		return fmt.Errorf("its certificate is not trusted: %w", certificate.Err)
	}
	return errors.New("it can't be connected to, or breaks off")
}
