// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
)

// What modules, and what they may be packed in, begin with.
var (
	magic     = []byte{0, 'a', 's', 'm'}
	gzipMagic = []byte{0x1f, 0x8b}
)

// inArchive is the module's name in an archive, as the specification of Wasm images has it.
const inArchive = "plugin.wasm"

// unpack a module out of what was fetched: the module itself, or in gzip or an
// archive, or both. Limit bounds what comes out.
func unpack(body []byte, limit int64) ([]byte, error) {
	if bytes.HasPrefix(body, gzipMagic) {
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, errors.New("what was fetched is damaged: it begins as gzip and is none")
		}
		if body, err = bounded(r, limit); err != nil {
			return nil, err
		}
	}
	if bytes.HasPrefix(body, magic) {
		return body, nil
	}
	archive := tar.NewReader(bytes.NewReader(body))
	for {
		header, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("what was fetched is an archive without %s: put the module there under this name", inArchive)
		case err != nil:
			return nil, errors.New("what was fetched is no WebAssembly module: build one for the target wasm32-wasi, and push or serve that")
		case header.Typeflag != tar.TypeReg || path.Base(path.Clean(header.Name)) != inArchive:
			continue
		}
		if body, err = bounded(archive, limit); err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(body, magic) {
			return nil, fmt.Errorf("%s in it is no WebAssembly module", inArchive)
		}
		return body, nil
	}
}

func bounded(r io.Reader, limit int64) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, errors.New("what was fetched is damaged: it can't be unpacked")
	case int64(len(out)) > limit:
		return nil, fmt.Errorf("the module has more than %d bytes, which is the most that is taken: make it smaller", limit)
	}
	return out, nil
}
