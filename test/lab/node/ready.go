// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/pki"
)

// apiReady waits until the API server says that it is ready. It has no limit:
// whoever starts the node has one.
func apiReady(ctx context.Context, spec component.Spec) error {
	dir := spec.Dirs().Data("pki")
	ca, err := pki.Read(dir, pki.CA)
	if err != nil {
		return err
	}
	admin, err := pki.Read(dir, pki.Admin)
	if err != nil {
		return err
	}
	certificate, err := tls.X509KeyPair(admin.Cert, admin.Key)
	if err != nil {
		return fmt.Errorf("admin's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Cert)
	client := &http.Client{
		Timeout:   time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}},
	}
	defer client.CloseIdleConnections()

	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, spec.Server()+"/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}
