// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
)

// dockerHub is what references without a registry mean.
const dockerHub = "docker.io"

var errNotFound = errors.New("it isn't there: create it, of type kubernetes.io/dockerconfigjson")

// NotFound is the error of a Secret that isn't there.
func NotFound() error { return errNotFound }

// credentials for a registry, out of the Secret that a plugin names.
func (f *Fetcher) credentials(ctx context.Context, w extensions.Wanted, host string) (authn.AuthConfig, error) {
	named := "Secret " + w.Namespace + "/" + w.Secret + " (spec.imagePullSecret)"
	if f.options.Secret == nil {
		return authn.AuthConfig{}, fmt.Errorf("%s can't be read here", named)
	}
	text, err := f.options.Secret(ctx, w.Namespace, w.Secret)
	if err != nil {
		return authn.AuthConfig{}, fmt.Errorf("%s: %w", named, err)
	}
	found, err := inDockerConfig(text, host)
	if err != nil {
		return authn.AuthConfig{}, fmt.Errorf("%s: %w", named, err)
	}
	return found, nil
}

// inDockerConfig finds a registry's credentials in the text of a Docker
// configuration. Helpers that it names are programs, and none is run. No
// error quotes the text.
func inDockerConfig(text []byte, host string) (authn.AuthConfig, error) {
	var config struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return authn.AuthConfig{}, errors.New("its key .dockerconfigjson is no JSON as Docker writes it: create it by kubectl create secret docker-registry")
	}
	names := []string{host, "https://" + host, "http://" + host, "https://" + host + "/v2/", "https://" + host + "/"}
	if host == dockerHub {
		names = append(names, authn.DefaultAuthKey, name.DefaultRegistry, "registry-1.docker.io")
	}
	for _, n := range names {
		entry, ok := config.Auths[n]
		if !ok {
			continue
		}
		var found authn.AuthConfig
		if json.Unmarshal(entry, &found) != nil || found == (authn.AuthConfig{}) {
			return authn.AuthConfig{}, fmt.Errorf("its entry for %s has neither username and password nor auth", host)
		}
		return found, nil
	}
	return authn.AuthConfig{}, fmt.Errorf("it has nothing for registry %s: add an entry of this name", host)
}
