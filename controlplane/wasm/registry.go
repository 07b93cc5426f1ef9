// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
)

// Docker Hub, whose references name another host than serves them.
const (
	hub       = "docker.io"
	hubServer = "registry-1.docker.io"
)

const (
	maxManifest = 4 << 20
	maxToken    = 1 << 20
)

// Media types of manifests (OCI image specification, and Docker's).
const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// bare are the media types of layers that are the module itself: the CNCF's Wasm
// artifacts, and those of the specification of Wasm images. All other layers
// are archives, with the module in the last one.
var bare = []string{"application/wasm", "application/vnd.module.wasm.content.layer.v1+wasm", "application/vnd.wasm.content.layer.v1+wasm"}

// descriptor of a blob, or of a manifest in an index.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Platform  *struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	} `json:"platform"`
}

// manifest of an image, or an index of several.
type manifest struct {
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

// registry is one repository, as it is asked.
type registry struct {
	f     *Fetcher
	base  string // of the repository's addresses, without a slash at the end
	image extensions.Image
	// user and password; empty asks as nobody.
	user, password string
	// authorization that the registry wants, once that is known.
	authorization string
}

// pull a module out of a registry.
func (f *Fetcher) pull(ctx context.Context, reference string, w extensions.Wanted) ([]byte, error) {
	image, err := extensions.ParseImage(reference)
	if err != nil {
		return nil, err
	}
	r := &registry{f: f, image: image}
	host, scheme := image.Registry, "https"
	if host == hub {
		host = hubServer
	}
	if name, _, _ := strings.Cut(host, ":"); slices.Contains(f.options.Plain, host) || slices.Contains(f.options.Plain, name) {
		scheme = "http"
	}
	r.base = scheme + "://" + host + "/v2/" + image.Repository
	if w.Secret != "" {
		if r.user, r.password, err = f.credentials(ctx, w, image.Registry); err != nil {
			return nil, err
		}
	}
	name := image.Digest
	if name == "" {
		name = image.Tag
	}
	m, sums, err := r.manifest(ctx, name)
	if err != nil {
		return nil, err
	}
	code, err := r.module(ctx, m)
	if err != nil {
		return nil, err
	}
	if w.SHA256 != "" && !slices.Contains(append(sums, digest(code)), w.SHA256) {
		return nil, fmt.Errorf("the image's SHA-256 is %s and not the one in spec.sha256: put the right one there, if this is the image that you mean", sums[0])
	}
	return code, nil
}

// manifest by its digest or tag, and the hashes by which people know it: of what
// the name leads to first, and of the one that an index chooses.
func (r *registry) manifest(ctx context.Context, name string) (manifest, []string, error) {
	var sums []string
	for range 2 {
		body, err := r.get(ctx, "/manifests/"+name, maxManifest)
		if err != nil {
			return manifest{}, nil, err
		}
		if sum, ok := strings.CutPrefix(name, "sha256:"); ok && digest(body) != sum {
			return manifest{}, nil, fmt.Errorf("%s answers with another manifest than %s", r.image.Registry, name)
		}
		sums = append(sums, digest(body))
		var m manifest
		if err := json.Unmarshal(body, &m); err != nil {
			return manifest{}, nil, fmt.Errorf("%s answers with a manifest that can't be read", r.image.Registry)
		}
		if len(m.Manifests) == 0 {
			return m, sums, nil
		}
		name = chosen(m.Manifests).Digest
	}
	return manifest{}, nil, errors.New("the image is an index of indexes: name one of its images by digest")
}

// chosen of the images in an index: the one for WebAssembly, else the first.
func chosen(all []descriptor) descriptor {
	for _, d := range all {
		if d.Platform != nil && strings.HasPrefix(d.Platform.Architecture, "wasm") {
			return d
		}
	}
	return all[0]
}

// module in an image.
func (r *registry) module(ctx context.Context, m manifest) ([]byte, error) {
	if len(m.Layers) == 0 {
		return nil, errors.New("the image has no layer: push the module as an image, or as an artifact")
	}
	layer := m.Layers[len(m.Layers)-1]
	if i := slices.IndexFunc(m.Layers, func(d descriptor) bool { return slices.Contains(bare, d.MediaType) }); i >= 0 {
		layer = m.Layers[i]
	}
	sum, ok := strings.CutPrefix(layer.Digest, "sha256:")
	switch {
	case !ok:
		return nil, errors.New("the image's layer has no SHA-256 digest")
	case layer.Size > r.f.options.MaxBytes:
		return nil, fmt.Errorf("the image's layer has more than %d bytes, which is the most that is taken: make the module smaller", r.f.options.MaxBytes)
	}
	body, err := r.get(ctx, "/blobs/"+url.PathEscape(layer.Digest), r.f.options.MaxBytes)
	if err != nil {
		return nil, err
	}
	if digest(body) != sum {
		return nil, fmt.Errorf("%s answers with another layer than %s", r.image.Registry, layer.Digest)
	}
	return unpack(body, r.f.options.MaxBytes)
}

// get something of the repository, as who it wants to be asked by.
func (r *registry) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	for tried := false; ; tried = true {
		header := http.Header{"Accept": {ociManifest, ociIndex, dockerManifest, dockerIndex, "*/*;q=0.1"}}
		if r.authorization != "" {
			header.Set("Authorization", r.authorization)
		}
		body, _, err := r.f.get(ctx, r.base+path, header, limit)
		var s *status
		if !errors.As(err, &s) {
			return body, err
		}
		switch {
		case s.code == http.StatusUnauthorized && !tried:
			if err := r.authorize(ctx, s.challenge); err != nil {
				return nil, err
			}
		case s.code == http.StatusUnauthorized, s.code == http.StatusForbidden:
			if r.user == "" {
				return nil, fmt.Errorf("%s wants credentials for %s: put them into a Secret of type kubernetes.io/dockerconfigjson and name it in spec.imagePullSecret", r.image.Registry, r.image.Repository)
			}
			return nil, fmt.Errorf("%s refuses the credentials in spec.imagePullSecret for %s: correct the Secret", r.image.Registry, r.image.Repository)
		case s.code == http.StatusNotFound:
			return nil, fmt.Errorf("%s has no such image: correct spec.url, or push %s", r.image.Registry, r.image.Repository)
		default:
			return nil, err
		}
	}
}
