// SPDX-License-Identifier: Apache-2.0

package member

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Where a chunk says to which whole it belongs.
const (
	importsLabel     = "federation.isthmesh.dev/imports"
	firstAnnotation  = "federation.isthmesh.dev/first"
	chunksAnnotation = "federation.isthmesh.dev/chunks"
	sumAnnotation    = "federation.isthmesh.dev/sha256"
	importsKey       = "imports.gz"
	namePrefix       = "isthmesh-imports-"

	// chunkBytes stays below the API server's limit of 1 MiB for an object.
	chunkBytes = 900_000
	// maxSnapshot bounds what is unpacked.
	maxSnapshot = 256 << 20
)

// ConfigMaps is what is needed of a typed client for one namespace.
type ConfigMaps interface {
	List(ctx context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error)
	Create(ctx context.Context, c *corev1.ConfigMap, o metav1.CreateOptions) (*corev1.ConfigMap, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// ConfigMapStore keeps the imports in ConfigMaps isthmesh-imports-<n>, packed
// and in chunks.
//
// A generation is a run of numbers beyond all that are there. It counts when
// all its chunks are there and their sum is right; then older ones are deleted.
// Nothing is ever written over: so a crash half-way leaves the generation
// before, and of two replicas that write at the same time one finds its number
// taken and tries again.
type ConfigMapStore struct {
	api   ConfigMaps
	chunk int
}

// NewConfigMapStore keeps imports in the namespace that api is for.
func NewConfigMapStore(api ConfigMaps) *ConfigMapStore {
	return &ConfigMapStore{api: api, chunk: chunkBytes}
}

// Load implements Store.
func (s *ConfigMapStore) Load(ctx context.Context) ([]byte, error) {
	have, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if have.whole == nil && len(have.chunks) > 0 {
		return nil, errors.New("no generation in ConfigMaps isthmesh-imports-* is whole: they are written anew once the hub is reached")
	}
	return have.whole, nil
}

// Save implements Store.
func (s *ConfigMapStore) Save(ctx context.Context, snapshot []byte) error {
	have, err := s.read(ctx)
	if err != nil {
		return err
	}
	sum := checksum(snapshot)
	if have.whole != nil && have.sum == sum {
		return s.clean(ctx, have) // another replica was faster, or nothing changed
	}
	packed, err := pack(snapshot)
	if err != nil {
		return err
	}
	first := have.last + 1
	count := max(1, (len(packed)+s.chunk-1)/s.chunk)
	for i := range count {
		c := chunkOf(first, first+i, count, sum, packed[i*s.chunk:min(len(packed), (i+1)*s.chunk)])
		if _, err := s.api.Create(ctx, c, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("write ConfigMap %q: %w", c.Name, err)
		}
	}
	// Another replica may have finished a later generation, and cleaned this one up half-way.
	if have, err = s.read(ctx); err != nil {
		return err
	}
	if have.sum != sum {
		return errors.New("another replica keeps other imports at the same time")
	}
	return s.clean(ctx, have)
}

// clean deletes what is older than the newest whole generation.
func (s *ConfigMapStore) clean(ctx context.Context, have kept) error {
	for n, c := range have.chunks {
		if n >= have.first {
			continue
		}
		if err := s.api.Delete(ctx, c.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete ConfigMap %q: %w", c.Name, err)
		}
	}
	return nil
}

// kept is what is in the ConfigMaps: all chunks by number, the last of these,
// and the newest generation that is whole.
type kept struct {
	chunks map[int]*corev1.ConfigMap
	last   int
	whole  []byte
	sum    string
	first  int
}

func (s *ConfigMapStore) read(ctx context.Context) (kept, error) {
	list, err := s.api.List(ctx, metav1.ListOptions{LabelSelector: importsLabel + "=true"})
	if err != nil {
		return kept{}, fmt.Errorf("list ConfigMaps isthmesh-imports-*: %w", err)
	}
	out := kept{chunks: map[int]*corev1.ConfigMap{}}
	for i := range list.Items {
		c := &list.Items[i]
		if n, err := strconv.Atoi(strings.TrimPrefix(c.Name, namePrefix)); err == nil && n > 0 {
			out.chunks[n] = c
			out.last = max(out.last, n)
		}
	}
	for _, first := range slices.Backward(slices.Sorted(maps.Keys(out.chunks))) {
		if b := unpackFrom(out.chunks, first); b != nil {
			out.whole, out.first, out.sum = b, first, checksum(b)
			break
		}
	}
	return out, nil
}

// unpackFrom returns nil when no whole generation begins with this number.
func unpackFrom(chunks map[int]*corev1.ConfigMap, first int) []byte {
	head := chunks[first].Annotations
	count, err := strconv.Atoi(head[chunksAnnotation])
	if err != nil || count < 1 || count > len(chunks) || head[firstAnnotation] != strconv.Itoa(first) {
		return nil
	}
	var packed []byte
	for n := first; n < first+count; n++ {
		c := chunks[n]
		if c == nil || c.Annotations[firstAnnotation] != head[firstAnnotation] {
			return nil
		}
		packed = append(packed, c.BinaryData[importsKey]...)
	}
	b, err := unpack(packed)
	if err != nil || checksum(b) != head[sumAnnotation] {
		return nil
	}
	return b
}

func chunkOf(first, n, count int, sum string, data []byte) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name:   namePrefix + strconv.Itoa(n),
			Labels: map[string]string{importsLabel: "true"},
			Annotations: map[string]string{
				firstAnnotation:  strconv.Itoa(first),
				chunksAnnotation: strconv.Itoa(count),
				sumAnnotation:    sum,
			},
		},
		BinaryData: map[string][]byte{importsKey: data},
	}
}

func checksum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func pack(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("pack the imports: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the imports: %w", err)
	}
	return out.Bytes(), nil
}

func unpack(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("unpack the imports: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxSnapshot+1))
	if err != nil {
		return nil, fmt.Errorf("unpack the imports: %w", err)
	}
	if len(out) > maxSnapshot {
		return nil, fmt.Errorf("the imports take more than %d bytes", maxSnapshot)
	}
	return out, nil
}
