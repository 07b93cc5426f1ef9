// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
	"github.com/isthmesh/isthmesh/controlplane/jwks"
)

// maxRedirects of one request.
const maxRedirects = 5

// Guard permits connections to all addresses, private ones too, but those that
// lead to the machine itself, to its link or to a cloud's metadata, and those in
// forbidden: the API server's, and the control plane's own.
func Guard(forbidden ...netip.Prefix) func(netip.Addr) error {
	guard := jwks.Guard(forbidden...)
	return func(a netip.Addr) error {
		if guard(a) != nil {
			return fmt.Errorf("it leads to %s, which modules are not fetched from", a)
		}
		return nil
	}
}

// refused marks an address that is not permitted.
type refused struct{ error }

// client connects to permitted addresses only, whatever names and redirects say.
func client(permit func(netip.Addr) error, config *tls.Config) *http.Client {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return refused{err}
		}
		if err := permit(a.Addr()); err != nil {
			return refused{err}
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: 10 * time.Second,
			DisableCompression: true, // what is packed is unpacked within bounds
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) > maxRedirects:
				return fmt.Errorf("it redirects more than %d times", maxRedirects)
			case r.URL.Scheme != "https" && (r.URL.Scheme != "http" || via[0].URL.Scheme == "https"):
				return fmt.Errorf("it redirects to %q, which is not as safe as what was asked", r.URL.Scheme+"://"+r.URL.Host)
			}
			return nil
		},
	}
}

// fetch a module and check it.
func (f *Fetcher) fetch(ctx context.Context, w extensions.Wanted) ([]byte, error) {
	if reference, ok := strings.CutPrefix(w.URL, "oci://"); ok {
		return f.pull(ctx, reference, w)
	}
	body, err := f.get(ctx, w.URL, f.options.MaxBytes)
	if err != nil {
		return nil, err
	}
	code, err := unpack(body, f.options.MaxBytes)
	if err != nil {
		return nil, err
	}
	if w.SHA256 != "" && digest(body) != w.SHA256 && digest(code) != w.SHA256 {
		return nil, fmt.Errorf("its SHA-256 is %s and not the one in spec.sha256: put the right one there, if this is the module that you mean", digest(code))
	}
	return code, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// get a body of at most limit bytes.
func (f *Fetcher) get(ctx context.Context, url string, limit int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, errors.New("the address can't be read")
	}
	r.Header.Set("User-Agent", "isthmesh")
	answer, err := f.client.Do(r)
	if err != nil {
		return nil, why(ctx, r.URL.Host, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with status %d", answer.Request.URL.Host, answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil:
		return nil, why(ctx, r.URL.Host, err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%s answers with more than %d bytes, which is the most that is taken", r.URL.Host, limit)
	}
	return body, nil
}

// why a request failed, in words that are the same each time and tell nothing of
// what was answered.
func why(ctx context.Context, host string, err error) error {
	var not refused
	var said plainly
	var dns *net.DNSError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &said):
		return said
	case errors.As(err, &not):
		return fmt.Errorf("%s is not asked: %w", host, not.error)
	case errors.As(err, &dns):
		return fmt.Errorf("%s is a name that can't be resolved: correct spec.url, or wait for the name", host)
	case errors.As(err, &verify):
		return fmt.Errorf("%s can't be trusted: %w", host, verify.Err)
	case ctx.Err() != nil || isTimeout(err):
		return fmt.Errorf("%s doesn't answer in time", host)
	case errors.Is(err, errPlain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%s speaks no TLS: name it in the control plane's --wasm-plain-registries, if it is to be trusted without", host)
	case strings.Contains(err.Error(), "realm"):
		return fmt.Errorf("%s leads to a token server that is not asked: it must speak TLS, unless the registry itself needn't, and be given by its name, unless it is the registry itself", host)
	case strings.Contains(err.Error(), "it redirects"):
		return fmt.Errorf("%s is not followed: %w", host, errors.Unwrap(err))
	}
	return fmt.Errorf("%s can't be connected to, or ends the connection", host)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
