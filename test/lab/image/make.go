// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/isthmesh/isthmesh/test/lab/build"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/step"
)

// source builds what an image is made of, and returns its recipe.
type source struct {
	name   string
	recipe func(ctx context.Context, lab layout.Lab, ldflags string) (Recipe, error)
}

// Product are the images that users run, and LabOnly those that stand in for
// what cannot be pulled.
var (
	Product = []string{"hub", "istiod", "proxy", "echo"}
	LabOnly = []string{"lab-pause", "lab-coredns"}
)

var sources = []source{
	{"lab-pause", func(ctx context.Context, lab layout.Lab, _ string) (Recipe, error) {
		binary, err := build.Go(ctx, lab, build.Pause)
		return Pause(binary), err
	}},
	static("lab-coredns", "/usr/local/bin/coredns", build.CoreDNS, rootUser),
	static("hub", "/usr/local/bin/hub", build.Hub, nobodyUser),
	static("istiod", "/usr/local/bin/istiod", build.ControlPlane, nobodyUser),
	static("echo", "/echo", build.Echo, nobodyUser),
	{"proxy", func(ctx context.Context, lab layout.Lab, ldflags string) (Recipe, error) {
		agent, err := build.Go(ctx, lab, build.Agent.With(ldflags))
		if err != nil {
			return Recipe{}, err
		}
		envoy, err := build.Envoy(ctx, lab)
		if err != nil {
			return Recipe{}, err
		}
		return Proxy(envoy, agent)
	}},
}

func static(image, target string, program build.Program, user string) source {
	return source{image, func(ctx context.Context, lab layout.Lab, ldflags string) (Recipe, error) {
		binary, err := build.Go(ctx, lab, program.With(ldflags))
		if err != nil {
			return Recipe{}, err
		}
		return Static(image, target, binary, user)
	}}
}

// Options says which images are made, and how.
type Options struct {
	Tag string
	// Names are the images; if none is named, all but those of Conformance and Samples.
	Names []string
	// LDFlags are the linker flags of the product's programs, such as those
	// that set its version.
	LDFlags string
}

// Make builds images into the lab's folder of images. One whose sources have
// not changed is left as it is.
func Make(ctx context.Context, lab layout.Lab, log *step.Log, o Options) ([]Recipe, error) {
	chosen, err := choose(o.Names)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{lab.Bin(), lab.Images()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	var recipes []Recipe
	for _, source := range chosen {
		err := log.Do("image "+source.name, func() error {
			recipe, err := source.recipe(ctx, lab, o.LDFlags)
			if err != nil {
				return fmt.Errorf("image %s: %w", source.name, err)
			}
			recipes = append(recipes, recipe)
			return save(recipe, o.Tag, lab.Images())
		})
		if err != nil {
			return nil, err
		}
	}
	return recipes, nil
}

func choose(names []string) ([]source, error) {
	if len(names) == 0 {
		return sources, nil
	}
	var chosen []source
	known := slices.Concat(sources, conformance, samples)
	for _, name := range names {
		at := slices.IndexFunc(known, func(s source) bool { return s.name == name })
		if at < 0 {
			return nil, fmt.Errorf("no image %q: there are %s", name, strings.Join(slices.Concat(Product, LabOnly, Conformance, Samples), ", "))
		}
		chosen = append(chosen, known[at])
	}
	return chosen, nil
}

// save writes the image's tarball, and beside it the key of what it was made
// of, unless both are there already.
func save(r Recipe, tag, dir string) error {
	key, err := r.Key(tag)
	if err != nil {
		return err
	}
	archive, keyPath := filepath.Join(dir, r.Name+".tar"), filepath.Join(dir, r.Name+".key")
	have, err := os.ReadFile(keyPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(archive); err == nil && string(have) == key {
		return nil
	}
	if err := Save(r, tag, archive); err != nil {
		return err
	}
	return os.WriteFile(keyPath, []byte(key), 0o644)
}

// Push sends images to a registry. A registry on the loopback is spoken to
// without TLS.
func Push(ctx context.Context, log *step.Log, registry, tag string, recipes []Recipe) error {
	for _, recipe := range recipes {
		for _, one := range recipe.images() {
			if err := pushOne(ctx, log, registry, tag, one, len(recipe.Variants) > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// pushOne sends one image. A variant keeps the last part of the name that it
// stands in for, and its tag.
func pushOne(ctx context.Context, log *step.Log, registry, tag string, r Recipe, variant bool) error {
	repository := r.Repository() + ":" + tag
	if variant && len(r.As) > 0 {
		repository = path.Base(r.As[0])
	}
	ref, err := name.NewTag(strings.TrimSuffix(registry, "/") + "/" + repository)
	if err != nil {
		return fmt.Errorf("push %s: %w", r.Name, err)
	}
	err = log.Do("push "+ref.String(), func() error {
		img, err := Assemble(r, true)
		if err != nil {
			return err
		}
		return remote.Write(ref, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	})
	if err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	return nil
}
