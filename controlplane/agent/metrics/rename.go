// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
)

var starts = [][]byte{[]byte("envoy_istio_"), []byte("# TYPE envoy_istio_"), []byte("# HELP envoy_istio_")}

// rename copies Envoy's page. Envoy puts envoy_ before every name; the mesh's
// own metrics are known without it.
func rename(w io.Writer, r io.Reader) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	whole, last := true, byte('\n')
	for {
		part, err := lines.ReadSlice('\n')
		if whole && len(part) > 0 {
			for _, start := range starts {
				if bytes.HasPrefix(part, start) {
					at := len(start) - len("envoy_istio_")
					if _, werr := w.Write(part[:at]); werr != nil {
						return fmt.Errorf("copy envoy's metrics: %w", werr)
					}
					part = part[at+len("envoy_"):]
					break
				}
			}
		}
		if len(part) > 0 {
			last = part[len(part)-1]
		}
		if _, werr := w.Write(part); werr != nil {
			return fmt.Errorf("copy envoy's metrics: %w", werr)
		}
		// A line longer than the buffer comes in parts; only its first is looked at.
		whole = !errors.Is(err, bufio.ErrBufferFull)
		switch {
		case errors.Is(err, io.EOF):
			if last != '\n' {
				// What follows must begin a line.
				_, err = w.Write([]byte{'\n'})
				return err
			}
			return nil
		case err != nil && whole:
			return fmt.Errorf("copy envoy's metrics: %w", err)
		}
	}
}

// applicationTLS doesn't verify: the page is on loopback and named by the pod itself.
func applicationTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see above
}
