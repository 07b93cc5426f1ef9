// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	registry "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
)

// bare are the types of layers that are the module itself, not an archive.
var bare = []string{"application/wasm", "application/vnd.module.wasm.content.layer.v1+wasm", "application/vnd.wasm.content.layer.v1+wasm"}

// pull a module out of an image.
func (f *Fetcher) pull(ctx context.Context, reference string, w extensions.Wanted) ([]byte, error) {
	image, err := extensions.ParseImage(reference)
	if err != nil {
		return nil, err
	}
	plain := f.plain(image.Registry)
	var options []name.Option
	if plain {
		options = append(options, name.Insecure)
	}
	ref, err := name.ParseReference(reference, options...)
	if err != nil {
		return nil, fmt.Errorf("the image's name can't be read: %w", err)
	}
	as := authn.Anonymous
	if w.Secret != "" {
		found, err := f.credentials(ctx, w, image.Registry)
		if err != nil {
			return nil, err
		}
		as = authn.FromConfig(found)
	}
	code, sums, err := f.packed(ref, remote.WithContext(ctx), remote.WithAuth(as), remote.WithUserAgent("isthmesh"),
		remote.WithTransport(&asked{next: f.client.Transport, plain: plain}),
		remote.WithRetryStatusCodes(), remote.WithRetryPredicate(func(error) bool { return false })) // Run tries again
	var answer *transport.Error
	switch {
	case err == nil:
	case errors.As(err, &answer):
		return nil, answered(answer, image, as == authn.Anonymous)
	default:
		return nil, why(ctx, image.Registry, err)
	}
	if w.SHA256 != "" && !slices.Contains(append(sums, digest(code)), w.SHA256) {
		return nil, fmt.Errorf("the image's SHA-256 is %s and not the one in spec.sha256: put the right one there, if this is the image that you mean", sums[0])
	}
	return code, nil
}

// plain registries are asked without TLS.
func (f *Fetcher) plain(host string) bool {
	bare, _, _ := strings.Cut(host, ":")
	return slices.Contains(f.options.Plain, host) || slices.Contains(f.options.Plain, bare)
}

// packed in an image is a module; with the hashes by which people know the image: of
// what its name leads to first, and of the one that an index chooses.
func (f *Fetcher) packed(ref name.Reference, options ...remote.Option) ([]byte, []string, error) {
	found, err := remote.Get(ref, options...)
	if err != nil {
		return nil, nil, err
	}
	sums := []string{found.Digest.Hex}
	var image registry.Image
	if found.MediaType.IsIndex() {
		index, err := found.ImageIndex()
		if err != nil {
			return nil, nil, err
		}
		of, err := index.IndexManifest()
		if err != nil {
			return nil, nil, err
		}
		one, ok := chosen(of.Manifests)
		if !ok {
			return nil, nil, plainly("the image is an index without an image: push the module again, or name an image by digest")
		}
		sums = append(sums, one.Hex)
		image, err = index.Image(one)
		if err != nil {
			return nil, nil, err
		}
	} else if image, err = found.Image(); err != nil {
		return nil, nil, err
	}
	code, err := f.module(image)
	return code, sums, err
}

// chosen of the images in an index: the one for WebAssembly, else the first.
func chosen(all []registry.Descriptor) (registry.Hash, bool) {
	for _, d := range all {
		if d.Platform != nil && strings.HasPrefix(d.Platform.Architecture, "wasm") {
			return d.Digest, true
		}
	}
	i := slices.IndexFunc(all, func(d registry.Descriptor) bool { return d.MediaType.IsImage() })
	if i < 0 {
		return registry.Hash{}, false
	}
	return all[i].Digest, true
}

// module in an image: the layer that says that it is one, else the last.
func (f *Fetcher) module(image registry.Image) ([]byte, error) {
	m, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	if len(m.Layers) == 0 {
		return nil, plainly("the image has no layer: push the module as an image, or as an artifact")
	}
	of := m.Layers[len(m.Layers)-1]
	if i := slices.IndexFunc(m.Layers, func(d registry.Descriptor) bool { return slices.Contains(bare, string(d.MediaType)) }); i >= 0 {
		of = m.Layers[i]
	}
	if of.Size > f.options.MaxBytes {
		return nil, plainly(fmt.Sprintf("the image's layer has more than %d bytes, which is the most that is taken: make the module smaller", f.options.MaxBytes))
	}
	layer, err := image.LayerByDigest(of.Digest)
	if err != nil {
		return nil, err
	}
	packed, err := layer.Compressed() // verified by its digest and size as it is read
	if err != nil {
		return nil, err
	}
	defer func() { _ = packed.Close() }()
	body, err := io.ReadAll(io.LimitReader(packed, f.options.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	code, err := unpack(body, f.options.MaxBytes)
	if err != nil {
		return nil, plainly(err.Error())
	}
	return code, nil
}

// plainly is an error that says it all to people.
type plainly string

func (p plainly) Error() string { return string(p) }

// answered says what a registry's refusal means.
func answered(e *transport.Error, image extensions.Image, anonymous bool) error {
	switch e.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		if anonymous {
			return fmt.Errorf("%s wants credentials for %s: put them into a Secret of type kubernetes.io/dockerconfigjson and name it in spec.imagePullSecret", image.Registry, image.Repository)
		}
		return fmt.Errorf("%s refuses the credentials in spec.imagePullSecret for %s: correct the Secret", image.Registry, image.Repository)
	case http.StatusNotFound:
		return fmt.Errorf("%s has no such image: correct spec.url, or push %s", image.Registry, image.Repository)
	}
	return fmt.Errorf("%s answers with status %d", image.Registry, e.StatusCode)
}

// asked over TLS is everything that a registry leads to, also its token server and
// where its layers are, unless the registry itself is trusted without.
type asked struct {
	next  http.RoundTripper
	plain bool
}

var errPlain = errors.New("without TLS")

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !a.plain {
		return nil, errPlain
	}
	return a.next.RoundTrip(r)
}
