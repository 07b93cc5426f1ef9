// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
)

// authorize as a registry's challenge asks: by password, or by a token that
// another server gives (Docker's token authentication).
func (r *registry) authorize(ctx context.Context, challenge string) error {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(challenge), " ")
	switch strings.ToLower(scheme) {
	case "basic":
		if r.user == "" {
			return nil // the next answer says that credentials are wanted
		}
		r.authorization = r.basic()
		return nil
	case "bearer":
	default:
		return fmt.Errorf("%s wants to be asked in a way that isn't known: neither by password nor by token", r.image.Registry)
	}
	asked := parameters(rest)
	realm, err := url.Parse(asked["realm"])
	if err != nil || realm.Host == "" || realm.Scheme != "https" && (realm.Scheme != "http" || strings.HasPrefix(r.base, "https")) {
		return fmt.Errorf("%s sends to a token server that isn't asked: its address must be https", r.image.Registry)
	}
	q := realm.Query()
	if asked["service"] != "" {
		q.Set("service", asked["service"])
	}
	q.Set("scope", "repository:"+r.image.Repository+":pull")
	realm.RawQuery = q.Encode()
	header := http.Header{}
	if r.user != "" {
		header.Set("Authorization", r.basic())
	}
	body, _, err := r.f.get(ctx, realm.String(), header, maxToken)
	var s *status
	if errors.As(err, &s) && (s.code == http.StatusUnauthorized || s.code == http.StatusForbidden) {
		return nil // as above
	}
	if err != nil {
		return err
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Token == "" && answer.AccessToken == "" {
		return fmt.Errorf("%s gives no token", realm.Host)
	}
	if answer.Token == "" {
		answer.Token = answer.AccessToken
	}
	if strings.ContainsAny(answer.Token, "\r\n") {
		return fmt.Errorf("%s gives a token that can't be used", realm.Host)
	}
	r.authorization = "Bearer " + answer.Token
	return nil
}

func (r *registry) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(r.user+":"+r.password))
}

// parameters of a challenge (RFC 9110, section 11): name="value", separated by commas.
func parameters(text string) map[string]string {
	out := map[string]string{}
	for text = strings.TrimSpace(text); text != ""; {
		name, rest, found := strings.Cut(text, "=")
		if !found {
			return out
		}
		var value string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			value, rest, _ = strings.Cut(quoted, `"`)
			_, rest, _ = strings.Cut(rest, ",")
		} else {
			value, rest, _ = strings.Cut(rest, ",")
		}
		out[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
		text = strings.TrimSpace(rest)
	}
	return out
}

// errNotFound is returned by Options.Secret for a Secret that isn't there.
var errNotFound = errors.New("it isn't there: create it, of type kubernetes.io/dockerconfigjson")

// NotFound is the error of a Secret that isn't there.
func NotFound() error { return errNotFound }

// credentials for a registry, out of the pull Secret that was named.
func (f *Fetcher) credentials(ctx context.Context, w extensions.Wanted, host string) (user, password string, err error) {
	named := "Secret " + w.Namespace + "/" + w.Secret + " (spec.imagePullSecret)"
	if f.options.Secret == nil {
		return "", "", fmt.Errorf("%s can't be read here", named)
	}
	text, err := f.options.Secret(ctx, w.Namespace, w.Secret)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", named, err)
	}
	user, password, err = inDockerConfig(text, host)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", named, err)
	}
	return user, password, nil
}

// inDockerConfig finds a registry's user and password in Docker's configuration.
func inDockerConfig(text []byte, host string) (user, password string, err error) {
	var config struct {
		Auths map[string]struct {
			Auth     string `json:"auth"`
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", "", errors.New("its key .dockerconfigjson is no JSON as Docker writes it: create it by kubectl create secret docker-registry")
	}
	names := []string{host, "https://" + host, "http://" + host, "https://" + host + "/v2/", "https://" + host + "/"}
	if host == hub {
		names = append(names, "https://index.docker.io/v1/", "index.docker.io", hubServer)
	}
	for _, n := range names {
		a, ok := config.Auths[n]
		if !ok {
			continue
		}
		if a.Username != "" {
			return a.Username, a.Password, nil
		}
		decoded, err := base64.StdEncoding.DecodeString(a.Auth)
		user, password, found := strings.Cut(string(decoded), ":")
		if err != nil || !found {
			return "", "", fmt.Errorf("its entry for %s has neither username and password nor auth", host)
		}
		return user, password, nil
	}
	return "", "", fmt.Errorf("it has nothing for registry %s: add an entry of this name", host)
}
