// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// request is a DeltaDiscoveryRequest or a DiscoveryRequest. It is scanned
// rather than unmarshalled: Envoy's node lists some 60 KiB of extensions that
// nobody reads, and names are kept as parts of one string.
type request struct {
	sotw bool
	// typeURL asked for.
	typeURL string
	// node is the encoded core.v3.Node; nil when there is none.
	node []byte
	// subscribe and unsubscribe, or in state of the world, in subscribe, all that
	// is subscribed to.
	subscribe, unsubscribe []string
	// initial are the resources that a reconnecting delta client has.
	initial []held
	// version that a state-of-the-world client accepted last.
	version string
	// nonce of the response that this request accepts or, with rejected, doesn't.
	nonce    string
	rejected bool
	// reason for rejecting.
	reason string
	// invalid says why the bytes are no request.
	invalid error
}

// held is a resource that a client has.
type held struct{ name, version string }

var errTruncated = errors.New("truncated or malformed field")

// decode scans the bytes of a request; those are not kept. What cannot be
// decoded is told in r.invalid.
func (r *request) decode(b []byte) {
	*r = request{sotw: r.sotw}
	text := string(b)
	r.invalid = scan(b, func(num protowire.Number, from, to int) error {
		if r.sotw {
			return r.sotwField(num, text[from:to], b[from:to])
		}
		return r.deltaField(num, text[from:to], b[from:to])
	})
}

func (r *request) deltaField(num protowire.Number, s string, b []byte) error {
	switch num {
	case 1:
		r.node = append([]byte{}, b...)
		return nil
	case 2:
		return text(&r.typeURL, s)
	case 3:
		return list(&r.subscribe, s)
	case 4:
		return list(&r.unsubscribe, s)
	case 5:
		return r.addInitial(s, b)
	case 6:
		return text(&r.nonce, s)
	case 7:
		return r.reject(s, b)
	}
	return nil
}

func (r *request) sotwField(num protowire.Number, s string, b []byte) error {
	switch num {
	case 1:
		return text(&r.version, s)
	case 2:
		r.node = append([]byte{}, b...)
		return nil
	case 3:
		return list(&r.subscribe, s)
	case 4:
		return text(&r.typeURL, s)
	case 5:
		return text(&r.nonce, s)
	case 6:
		return r.reject(s, b)
	}
	return nil
}

// addInitial takes one entry of the map initial_resource_versions.
func (r *request) addInitial(s string, b []byte) error {
	var h held
	err := scan(b, func(num protowire.Number, from, to int) error {
		switch num {
		case 1:
			return text(&h.name, s[from:to])
		case 2:
			return text(&h.version, s[from:to])
		}
		return nil
	})
	r.initial = append(r.initial, h)
	return err
}

// reject takes a google.rpc.Status.
func (r *request) reject(s string, b []byte) error {
	r.rejected = true
	return scan(b, func(num protowire.Number, from, to int) error {
		if num == 2 {
			return text(&r.reason, s[from:to])
		}
		return nil
	})
}

// scan calls field for each length-delimited field of a message, with where its
// content begins and ends in b; fields of other wire types are skipped.
func scan(b []byte, field func(num protowire.Number, from, to int) error) error {
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return errTruncated
		}
		at += n
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, b[at:]); n < 0 {
				return errTruncated
			}
			at += n
			continue
		}
		content, n := protowire.ConsumeBytes(b[at:])
		if n < 0 {
			return errTruncated
		}
		to := at + n
		if err := field(num, to-len(content), to); err != nil {
			return fmt.Errorf("field %d: %w", num, err)
		}
		at = to
	}
	return nil
}

func text(to *string, s string) error {
	if !utf8.ValidString(s) {
		return errors.New("not UTF-8")
	}
	*to = s
	return nil
}

func list(to *[]string, s string) error {
	var name string
	if err := text(&name, s); err != nil {
		return err
	}
	*to = append(*to, name)
	return nil
}
