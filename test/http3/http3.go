// SPDX-License-Identifier: Apache-2.0

// Package http3 asks a gateway over QUIC, as far as tests need it: one GET for
// each connection, by the implementation of QUIC that Go's own HTTP/3 stands on.
package http3

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"golang.org/x/net/quic"
)

// Frames and QPACK's static table, as far as one GET needs them (RFC 9114, RFC 9204).
const (
	controlStream = 0x00
	dataFrame     = 0x00
	headersFrame  = 0x01
	settingsFrame = 0x04

	indexedStatic = 0xc0
	methodGET     = 17
	schemeHTTPS   = 23
	pathRoot      = 1
	// authority is a value under static name 0.
	authority = 0x50
	// small are lengths that fit into the byte that they stand in.
	small = 63
)

// statuses of QPACK's static table.
var statuses = map[byte]int{24: 103, 25: 200, 26: 304, 27: 404, 28: 503}

// Get sends GET / for a host to an address and reads the answer. The configuration is
// the client's; its protocol is set here.
func Get(ctx context.Context, e *quic.Endpoint, config *tls.Config, address, host string) (status int, body string, err error) {
	config = config.Clone()
	config.NextProtos = []string{"h3"}
	conn, err := e.Dial(ctx, "udp", address, &quic.Config{TLSConfig: config})
	if err != nil {
		return 0, "", err
	}
	defer conn.Abort(nil)
	control, err := conn.NewSendOnlyStream(ctx)
	if err != nil {
		return 0, "", err
	}
	if _, err = control.Write([]byte{controlStream, settingsFrame, 0}); err != nil {
		return 0, "", err
	}
	if err = control.Flush(); err != nil {
		return 0, "", err
	}
	fields := append([]byte{0, 0, indexedStatic | methodGET, indexedStatic | schemeHTTPS, indexedStatic | pathRoot, authority, byte(len(host))}, host...)
	if len(fields) > small {
		return 0, "", errors.New("the host is too long")
	}
	s, err := conn.NewStream(ctx)
	if err != nil {
		return 0, "", err
	}
	s.SetReadContext(ctx)
	if _, err = s.Write(append([]byte{headersFrame, byte(len(fields))}, fields...)); err != nil {
		return 0, "", err
	}
	if err := s.CloseWrite(); err != nil {
		return 0, "", err
	}
	return readAnswer(bufio.NewReader(s))
}

func readAnswer(r *bufio.Reader) (status int, body string, err error) {
	for {
		kind, err := varint(r)
		if errors.Is(err, io.EOF) && status != 0 {
			return status, body, nil
		}
		if err != nil {
			return status, body, err
		}
		n, err := varint(r)
		if err != nil {
			return status, body, err
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(r, payload); err != nil {
			return status, body, err
		}
		switch {
		case kind == dataFrame:
			body += string(payload)
		case kind == headersFrame && len(payload) > 2 && status == 0:
			// Nothing was put into the dynamic table, and the status comes first.
			var ok bool
			if status, ok = statuses[payload[2]&^indexedStatic]; !ok || payload[2]&indexedStatic != indexedStatic {
				return 0, "", fmt.Errorf("no status in % x", payload)
			}
		}
	}
}

// varint of QUIC: the first two bits say how long it is.
func varint(r *bufio.Reader) (uint64, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	v := uint64(first & 0x3f)
	for range 1<<(first>>6) - 1 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		v = v<<8 | uint64(b)
	}
	return v, nil
}
