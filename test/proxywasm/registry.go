// SPDX-License-Identifier: Apache-2.0

package proxywasm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// Registry is a small registry of images (OCI distribution specification) that
// is filled by Push and asked over HTTP.
type Registry struct {
	// User and Password that it wants; empty asks for none.
	User, Password string
	// Token makes it want a token, which it gives itself for the password.
	Token bool

	mu        sync.Mutex
	manifests map[string][]byte // by "repository/tag" and "repository/digest"
	types     map[string]string // of manifests, by digest
	blobs     map[string][]byte // by digest
	asked     int
}

// Packing of a module in an image.
type Packing string

// The packings that are in use.
const (
	// Docker and OCI images have the module as plugin.wasm in their last layer.
	Docker Packing = "docker"
	OCI    Packing = "oci"
	// Artifact is the CNCF's: the layer is the module.
	Artifact Packing = "artifact"
	// Indexed is an artifact in an index, beside an image for Linux.
	Indexed Packing = "indexed"
)

const token = "a-token-of-this-registry"

// Asked is how many manifests were asked for.
func (r *Registry) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// Push a module under a tag; it returns the digest, as "sha256:…", of what the
// tag leads to.
func (r *Registry) Push(repository, tag string, p Packing, module []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blobs == nil {
		r.manifests, r.types, r.blobs = map[string][]byte{}, map[string]string{}, map[string][]byte{}
	}
	var sum string
	switch p {
	case Docker:
		sum = r.image(repository, "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.image.rootfs.diff.tar.gzip", packed(module))
	case OCI:
		sum = r.image(repository, "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip", packed(module))
	default:
		sum = r.image(repository, "application/vnd.oci.image.manifest.v1+json", "application/wasm", module)
	}
	if p == Indexed {
		other := r.image(repository, "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip", []byte("of Linux"))
		sum = r.add(repository, "application/vnd.oci.image.index.v1+json", map[string]any{
			"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{
				map[string]any{"digest": other, "platform": map[string]any{"os": "linux", "architecture": "amd64"}},
				map[string]any{"digest": sum, "platform": map[string]any{"os": "wasip1", "architecture": "wasm"}},
			},
		})
	}
	r.manifests[repository+"/"+tag] = r.manifests[repository+"/"+sum]
	return sum
}

func (r *Registry) image(repository, mediaType, layerType string, layer []byte) string {
	return r.add(repository, mediaType, map[string]any{
		"schemaVersion": 2, "mediaType": mediaType,
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": r.blob([]byte("{}")), "size": 2},
		"layers": []any{map[string]any{"mediaType": layerType, "digest": r.blob(layer), "size": len(layer)}},
	})
}

func (r *Registry) add(repository, mediaType string, m map[string]any) string {
	text, _ := json.Marshal(m)
	sum := digest(text)
	r.manifests[repository+"/"+sum], r.types[sum] = text, mediaType
	return sum
}

func (r *Registry) blob(b []byte) string {
	r.blobs[digest(b)] = b
	return digest(b)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// packed is an archive with the module as plugin.wasm, in gzip.
func packed(module []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	_ = w.WriteHeader(&tar.Header{Name: "./plugin.wasm", Mode: 0o644, Size: int64(len(module)), Typeflag: tar.TypeReg})
	_, _ = w.Write(module)
	_ = w.Close()
	_ = z.Close()
	return out.Bytes()
}

// ServeHTTP answers pulls, and gives tokens.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	user, password, _ := q.BasicAuth()
	known := user == r.User && password == r.Password
	if q.URL.Path == "/token" {
		if !known {
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
		return
	}
	if r.Token {
		known = q.Header.Get("Authorization") == "Bearer "+token
	}
	if (r.User != "" || r.Token) && !known {
		challenge := `Basic realm="registry"`
		if r.Token {
			scheme := "http"
			if q.TLS != nil {
				scheme = "https"
			}
			challenge = `Bearer realm="` + scheme + "://" + q.Host + `/token",service="registry"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	path := strings.TrimPrefix(q.URL.Path, "/v2/")
	if path == "" {
		return // it is a registry
	}
	if repository, name, ok := strings.Cut(path, "/manifests/"); ok {
		r.asked++
		if m, there := r.manifests[repository+"/"+name]; there {
			w.Header().Set("Content-Type", r.types[digest(m)])
			_, _ = w.Write(m)
			return
		}
	} else if _, sum, ok := strings.Cut(path, "/blobs/"); ok && r.blobs[sum] != nil {
		_, _ = w.Write(r.blobs[sum])
		return
	}
	http.NotFound(w, q)
}
