// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// imageType is what the end of a tag may be.
var imageType = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// The types of images that Istio names. Our image has neither shell nor package
// manager, so it is what both of the first mean.
const (
	defaultImage    = "default"
	distrolessImage = "distroless"
)

// Image is a proxy's tag for a type of images: the tag with "-type" behind it, as
// Istio has it, where the mesh has that type; there, it takes the place of
// another type that the tag ends in. A type that the mesh doesn't have is found,
// and the tag stays: the pod would not start.
func Image(tag, kind string, has []string) (string, *Finding) {
	if kind == "" {
		return tag, nil
	}
	plain := tag
	for _, t := range has {
		if cut, ok := strings.CutSuffix(tag, "-"+t); ok && t != "" {
			plain = cut
			break
		}
	}
	if slices.Contains(has, kind) {
		return plain + "-" + kind, nil
	}
	return plain, ImageType(kind, has)
}

// ImageType finds a type of images that a mesh doesn't have, or that is no type; nil otherwise.
func ImageType(kind string, has []string) *Finding {
	switch {
	case kind == "", slices.Contains(has, kind), kind == defaultImage, kind == distrolessImage:
		return nil
	case !imageType.MatchString(kind):
		return &Finding{"image.imageType", Invalid, fmt.Sprintf("%.100q can't be a part of an image's tag; use such as debug", kind)}
	}
	return &Finding{"image.imageType", NotSupported, fmt.Sprintf(
		"this mesh has no proxy image of type %q, so the default one is used; publish it under the tag's name and -%s, and name it in global.proxy.imageTypes of the istiod chart, or remove it", kind, kind)}
}
