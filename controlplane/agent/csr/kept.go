// SPDX-License-Identifier: Apache-2.0

package csr

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The files of a kept certificate, as Istio names them. The key's has the chain,
// too, so that both are always of the same answer; the other one is for who
// wants to look.
const (
	keptKey   = "key.pem"
	keptChain = "cert-chain.pem"
)

// kept certificate of the last answer, with which a machine proves who it is
// when its token has expired.
func (c *Client) kept(now time.Time) (*tls.Certificate, error) {
	body, err := os.ReadFile(filepath.Join(c.Keep, keptKey))
	if err != nil {
		return nil, fmt.Errorf("read the kept certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(body, body)
	switch {
	case err != nil:
		// The cause could have parts of the key.
		return nil, fmt.Errorf("%s in %s isn't a key with its certificate", keptKey, c.Keep)
	case len(pair.Leaf.URIs) != 1 || pair.Leaf.URIs[0].String() != c.Identity:
		return nil, fmt.Errorf("the certificate in %s isn't for %s", c.Keep, c.Identity)
	case now.After(pair.Leaf.NotAfter):
		return nil, fmt.Errorf("the certificate in %s has expired at %s", c.Keep, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return &pair, nil
}

// keep a certificate for the next request, even after a restart.
func (c *Client) keep(l *Leaf) error {
	return errors.Join(c.write(keptKey, slices.Concat(l.Key.PEM(), l.Chain), 0o600), c.write(keptChain, l.Chain, 0o644))
}

// write a file whole or not at all.
func (c *Client) write(name string, body []byte, mode os.FileMode) error {
	file, err := os.CreateTemp(c.Keep, "."+name+"-")
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	err = errors.Join(err, file.Chmod(mode), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(c.Keep, name))
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
