// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Image is a reference to an image in a registry.
type Image struct {
	// Registry is a host, maybe with a port.
	Registry, Repository string
	// Tag is "latest" when the reference has neither tag nor digest.
	Tag string
	// Digest is "sha256:" and 64 digits; empty for none. It goes before the tag.
	Digest string
}

// dockerHub is where references without a registry are; what serves it, and the
// namespace of names without one.
const (
	dockerHub  = "docker.io"
	hubLibrary = "library/"
)

// The parts of a reference, as the OCI distribution specification has them.
var (
	isRegistry   = regexp.MustCompile(`^(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)(:[0-9]{1,5})?$`)
	isRepository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	isTag        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// ParseImage reads a reference such as registry.example:5000/team/plugin:v1, or
// with @sha256:… at its end.
func ParseImage(reference string) (Image, error) {
	var i Image
	name, digest, pinned := strings.Cut(reference, "@")
	if pinned {
		if sum, ok := strings.CutPrefix(digest, "sha256:"); !ok || !isDigest(sum) {
			return i, fmt.Errorf("%.100q is no digest; write @sha256: and 64 hexadecimal digits in lower case", digest)
		}
		i.Digest = digest
	}
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name, i.Tag = name[:colon], name[colon+1:]
		if !isTag.MatchString(i.Tag) {
			return i, fmt.Errorf("%.100q is no tag of an image; correct what is after the last colon", i.Tag)
		}
	}
	first, rest, several := strings.Cut(name, "/")
	if several && (strings.ContainsAny(first, ".:") || first == "localhost") {
		i.Registry, i.Repository = first, rest
	} else {
		i.Registry, i.Repository = dockerHub, name
		if !several {
			i.Repository = hubLibrary + name
		}
	}
	switch {
	case !isRegistry.MatchString(i.Registry):
		return i, fmt.Errorf("%.100q is no registry; write oci://host[:port]/repository:tag", i.Registry)
	case len(i.Repository) > 255 || !isRepository.MatchString(i.Repository):
		return i, errors.New("the repository's name isn't one that registries have: parts of lower case letters and digits, with . _ or - between them; write oci://host[:port]/repository:tag")
	}
	if i.Tag == "" && i.Digest == "" {
		i.Tag = "latest"
	}
	return i, nil
}

func compareFields(a, b model.Problem) int { return strings.Compare(a.Field, b.Field) }
