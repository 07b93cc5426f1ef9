// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// File is a file or a folder of a layer, owned by root unless said otherwise.
type File struct {
	// Path in the image, absolute. Folders above it need not be listed.
	Path string
	Mode int64
	// Owner is the numeric user and group.
	Owner int
	// Source is the file of this machine that the content comes from; without
	// one it is Data, and without that either the entry is a folder.
	Source string
	Data   []byte
	// Link makes the entry a symbolic link to this path.
	Link string
}

func (f File) isDir() bool { return f.Source == "" && f.Data == nil && f.Link == "" }

// layer is an uncompressed layer whose bytes are made again for each reader.
type layer struct {
	files []File
	hash  v1.Hash
	size  int64
}

func newLayer(files []File, compressed bool) (v1.Layer, error) {
	l := &layer{files: complete(files)}
	if compressed {
		return tarball.LayerFromOpener(l.Uncompressed, tarball.WithMediaType(types.OCILayer))
	}
	content, err := l.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	l.hash, l.size, err = v1.SHA256(content)
	return l, err
}

// complete adds the folders above the files, and sorts all by path.
func complete(files []File) []File {
	byPath := map[string]File{}
	for _, file := range files {
		for dir := path.Dir(file.Path); dir != "/"; dir = path.Dir(dir) {
			if _, listed := byPath[dir]; !listed {
				byPath[dir] = File{Path: dir, Mode: 0o755}
			}
		}
	}
	for _, file := range files {
		byPath[file.Path] = file
	}
	all := make([]File, 0, len(byPath))
	for _, file := range byPath {
		all = append(all, file)
	}
	slices.SortFunc(all, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

func (l *layer) Digest() (v1.Hash, error)            { return l.hash, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.hash, nil }
func (l *layer) Size() (int64, error)                { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error)  { return l.Uncompressed() }
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(write(writer, l.files)) }()
	return reader, nil
}

func write(out io.Writer, files []File) error {
	archive := tar.NewWriter(out)
	for _, file := range files {
		if err := writeFile(archive, file); err != nil {
			return fmt.Errorf("%s: %w", file.Path, err)
		}
	}
	return archive.Close()
}

func writeFile(archive *tar.Writer, file File) error {
	header := &tar.Header{
		Name:   strings.TrimPrefix(file.Path, "/"),
		Mode:   file.Mode,
		Uid:    file.Owner,
		Gid:    file.Owner,
		Format: tar.FormatUSTAR,
	}
	if file.isDir() {
		header.Typeflag = tar.TypeDir
		header.Name += "/"
		return archive.WriteHeader(header)
	}
	if file.Link != "" {
		header.Typeflag, header.Linkname = tar.TypeSymlink, file.Link
		return archive.WriteHeader(header)
	}
	content, size, err := file.open()
	if err != nil {
		return err
	}
	defer content.Close()
	header.Typeflag, header.Size = tar.TypeReg, size
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, content)
	return err
}

func (f File) open() (io.ReadCloser, int64, error) {
	if f.Source == "" {
		return io.NopCloser(bytes.NewReader(f.Data)), int64(len(f.Data)), nil
	}
	file, err := os.Open(f.Source)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// Key is a hash of everything that the image follows from: if it is the same,
// so is the image.
func (r Recipe) Key(tag string) (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "1\n%q %q %q %q %q\n", r.Name, tag, r.Entrypoint, r.User, r.As)
	if len(r.Env) > 0 || len(r.Variants) > 0 {
		fmt.Fprintf(hash, "%q %q\n", r.Env, r.Variants)
	}
	for _, files := range r.Layers {
		fmt.Fprintln(hash, "layer")
		for _, file := range complete(files) {
			fmt.Fprintf(hash, "%q %o %d %t\n", file.Path, file.Mode, file.Owner, file.isDir())
			if file.isDir() {
				continue
			}
			if file.Link != "" {
				fmt.Fprintf(hash, "to %q\n", file.Link)
				continue
			}
			content, size, err := file.open()
			if err != nil {
				return "", fmt.Errorf("image %s: %w", r.Name, err)
			}
			fmt.Fprintln(hash, size)
			_, err = io.Copy(hash, content)
			if err := errors.Join(err, content.Close()); err != nil {
				return "", fmt.Errorf("image %s: %w", r.Name, err)
			}
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
