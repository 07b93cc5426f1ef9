// SPDX-License-Identifier: Apache-2.0

// Package image assembles OCI images from files of this machine, without a
// container engine. It comes after build. The same files give the same bytes:
// no time, no owner, no order of the machine gets in.
package image

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Recipe is what an image is made of.
type Recipe struct {
	// Name is the image's name without registry, organisation and tag.
	Name string
	// Layers are its files; what changes often comes last.
	Layers     [][]File
	Entrypoint []string
	// Env are environment variables, as NAME=value.
	Env []string
	// User is the numeric user and group that it runs as.
	User string
	// As are the whole names, tags included, of an image of others that it stands
	// in for; empty is its own repository and the lab's tag.
	As []string
	// Variants are images of the same files that run something else; with any,
	// they take the place of the recipe's own image, all in one tarball.
	Variants []Variant
}

// Variant is what sets one image of a recipe apart from the others.
type Variant struct {
	Entrypoint, Env []string
	User            string
	As              []string
}

// images are the recipes of single images that a recipe stands for.
func (r Recipe) images() []Recipe {
	if len(r.Variants) == 0 {
		return []Recipe{r}
	}
	var all []Recipe
	for _, v := range r.Variants {
		all = append(all, Recipe{Name: r.Name, Layers: r.Layers, Entrypoint: v.Entrypoint, Env: v.Env, User: v.User, As: v.As})
	}
	return all
}

// Repository is the image's name with its organisation.
func (r Recipe) Repository() string { return "isthmesh/" + r.Name }

// Assemble makes the image. Its layers are compressed only if asked for: a
// registry wants them so, while a cluster's containerd loads them sooner as
// they are.
func Assemble(r Recipe, compressed bool) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, files := range r.Layers {
		layer, err := newLayer(files, compressed)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", r.Name, err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, fmt.Errorf("image %s: %w", r.Name, err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", r.Name, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{
		Entrypoint: r.Entrypoint,
		Env:        append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, r.Env...),
		User:       r.User,
		WorkingDir: "/",
	}
	return mutate.ConfigFile(img, config)
}

// Save writes the image as a tarball that containerd and Docker can load. The
// file gets its name when it is complete.
func Save(r Recipe, tag, path string) error {
	images := map[name.Tag]v1.Image{}
	for _, one := range r.images() {
		img, err := Assemble(one, false)
		if err != nil {
			return err
		}
		names := one.As
		if len(names) == 0 {
			names = []string{one.Repository() + ":" + tag}
		}
		for _, n := range names {
			ref, err := name.NewTag(n)
			if err != nil {
				return fmt.Errorf("image %s: %w", r.Name, err)
			}
			images[ref] = img
		}
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+r.Name+"-*")
	if err != nil {
		return err
	}
	// Once it is renamed there is nothing to remove.
	defer func() { _ = os.Remove(draft.Name()) }()
	defer draft.Close()
	if err := tarball.MultiWrite(images, draft); err != nil {
		return fmt.Errorf("image %s: %w", r.Name, err)
	}
	if err := draft.Chmod(0o644); err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}
