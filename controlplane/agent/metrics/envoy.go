// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"github.com/isthmesh/isthmesh/controlplane/peer"
)

const (
	ours = "envoy_istio_"
	// longest line that is read of the mesh's own metrics.
	longest = 1 << 20
)

// unreadable says that lines of the mesh's metrics are missing.
type unreadable struct {
	lines int
	first string
}

func (u *unreadable) Error() string {
	return fmt.Sprintf("%d lines of envoy's metrics are left out, the first begins with %q", u.lines, u.first)
}

func (u *unreadable) add(line []byte) {
	if u.lines++; u.lines == 1 {
		u.first = string(line[:min(len(line), 100)])
	}
}

// expand copies Envoy's page. What isn't the mesh's goes through while it is
// read. The mesh's own metrics come last, with Istio's names and labels; none
// of them when the page breaks off, as sums would be too small, and that looks
// like a restart.
func expand(w io.Writer, r io.Reader, self peer.Peer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	lines := bufio.NewReaderSize(r, 64<<10)
	c := &copier{out: out, lines: lines, expander: expander{self: self}, families: newFamilies()}
	for {
		err := c.line()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("copy envoy's metrics: %w", errors.Join(err, out.Flush()))
		}
	}
	if err := errors.Join(c.families.write(out), out.Flush()); err != nil {
		return fmt.Errorf("copy envoy's metrics: %w", err)
	}
	if c.bad.lines > 0 {
		return &c.bad
	}
	return nil
}

type copier struct {
	out      *bufio.Writer
	lines    *bufio.Reader
	long     []byte
	sample   sample
	expander expander
	families *families
	// last is the series and the place of the line before.
	last *series
	at   place
	bad  unreadable
}

// line copies or takes one line; io.EOF after the last.
func (c *copier) line() error {
	line, err := c.lines.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return err
	}
	full := errors.Is(err, bufio.ErrBufferFull)
	if err != nil && !full && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case !bytes.HasPrefix(line, []byte(ours)):
		return c.through(line, full)
	case full:
		if line, err = c.whole(line); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > longest {
			c.bad.add(line)
			return nil
		}
	}
	text := bytes.TrimSuffix(line, []byte{'\n'})
	if c.sample.next(text) {
		c.families.add(c.last, c.at, c.sample.le, c.sample.value)
		return nil
	}
	end := bytes.IndexAny(text, "{ ")
	at, ok := places[string(text[:max(end, 0)])]
	switch {
	case !ok:
		// Somebody else's metric that begins alike, such as a Wasm module's.
		return c.through(line[len("envoy_"):], false)
	case c.sample.again(text[end:]):
		c.at = at
		c.families.add(c.last, at, nil, c.sample.value)
	case c.sample.read(text, end):
		c.take(at)
	default:
		c.sample.bucket, c.sample.labels = c.sample.bucket[:0], c.sample.labels[:0]
		c.bad.add(text)
	}
	return nil
}

// take adds the line just read to its series.
func (c *copier) take(at place) {
	labels := c.expander.expand(c.sample.tags)
	if labels == nil {
		labels = c.expander.plain(c.sample.tags)
	}
	c.last, c.at = c.families.find(labels), at
	c.families.add(c.last, at, c.sample.le, c.sample.value)
}

// through copies a line that isn't the mesh's, or only its name is.
func (c *copier) through(line []byte, full bool) error {
	for _, start := range []string{"# TYPE ", "# HELP "} {
		name, ok := bytes.CutPrefix(line, []byte(start))
		if !ok || !bytes.HasPrefix(name, []byte(ours)) {
			continue
		}
		if described(name) {
			return nil
		}
		if _, err := c.out.WriteString(start); err != nil {
			return err
		}
		line = name[len("envoy_"):]
	}
	_, err := c.out.Write(line)
	for full && err == nil {
		if line, err = c.lines.ReadSlice('\n'); errors.Is(err, bufio.ErrBufferFull) {
			_, err = c.out.Write(line)
			continue
		}
		full = false
		if _, werr := c.out.Write(line); werr != nil {
			return werr
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if line[len(line)-1] != '\n' {
		// What follows must begin a line.
		return c.out.WriteByte('\n')
	}
	return nil
}

// described is true for the families that write describes itself.
func described(name []byte) bool {
	name, _, _ = bytes.Cut(name, []byte{' '})
	for _, s := range standard {
		if string(name[len("envoy_"):]) == s.name {
			return true
		}
	}
	return false
}

// whole reads the rest of a line that is longer than the buffer, and no more of
// it than is of use.
func (c *copier) whole(begin []byte) ([]byte, error) {
	c.long = append(c.long[:0], begin...)
	for {
		more, err := c.lines.ReadSlice('\n')
		if len(c.long) <= longest {
			c.long = append(c.long, more...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return c.long, err
		}
	}
}

// applicationTLS doesn't verify: the page is on loopback and named by the pod itself.
func applicationTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see above
}
