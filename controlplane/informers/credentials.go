// SPDX-License-Identifier: Apache-2.0

package informers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// credentials are the caches of the Secrets and ConfigMaps that gateways refer
// to: one for each object, by its name. No other Secret is ever read.
type credentials struct {
	client kubernetes.Interface
	notify func()

	mu         sync.Mutex
	secrets    map[model.CredentialRef]*referred[*corev1.Secret]
	configMaps map[model.CredentialRef]*referred[*corev1.ConfigMap]
	last       *credential.Output
}

// referred is one object that something refers to.
type referred[T object] struct {
	*kind[T]
	stop context.CancelFunc
}

func newCredentials(client kubernetes.Interface, notify func()) *credentials {
	return &credentials{
		client: client, notify: notify,
		secrets:    map[model.CredentialRef]*referred[*corev1.Secret]{},
		configMaps: map[model.CredentialRef]*referred[*corev1.ConfigMap]{},
	}
}

// Refer says which Secrets and ConfigMaps are referred to. Those that are new
// are read and watched until ctx ends or they are not referred to any more. What
// is read of them is among Objects.
func (s *Set) Refer(ctx context.Context, refs []model.CredentialRef) error {
	return s.credentials.refer(ctx, refs)
}

// Settled is true when all that is referred to has been read, is known not to
// be there, or may not be read.
func (s *Set) Settled() bool { return s.credentials.settled() }

// WaitReferred returns when all that is referred to has been read, is known not to be
// there, or may not be read: the latter is what it returns, sorted.
func (s *Set) WaitReferred(ctx context.Context) ([]model.CredentialRef, error) {
	return s.credentials.wait(ctx)
}

func (c *credentials) wait(ctx context.Context) ([]model.CredentialRef, error) {
	c.mu.Lock()
	all := map[model.CredentialRef]running{}
	for r, f := range c.secrets {
		all[r] = f
	}
	for r, f := range c.configMaps {
		all[r] = f
	}
	c.mu.Unlock()
	var denied []model.CredentialRef
	for _, r := range slices.SortedFunc(maps.Keys(all), model.CredentialRef.Compare) {
		switch k := all[r]; {
		case !k.answered(ctx):
			return nil, fmt.Errorf("%s is not read: %w", k.name(), context.Cause(ctx))
		case k.isDenied():
			denied = append(denied, r)
		}
	}
	return denied, nil
}

func (c *credentials) refer(ctx context.Context, refs []model.CredentialRef) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := make(map[model.CredentialRef]bool, len(refs))
	var failed error
	for _, r := range refs {
		r = model.CredentialRef{Namespace: r.Namespace, Name: r.Name, ConfigMap: r.ConfigMap}
		if r.Namespace == "" || r.Name == "" || wanted[r] {
			continue
		}
		wanted[r] = true
		only := fields.OneTermEqualSelector("metadata.name", r.Name).String()
		core := c.client.CoreV1()
		switch {
		case r.ConfigMap && c.configMaps[r] == nil:
			k, err := newKind("configmap "+r.Namespace+"/"+r.Name, listWatch(c.client, core.ConfigMaps(r.Namespace), only), &corev1.ConfigMap{}, trimAuthority, c.notify)
			failed = errors.Join(failed, err)
			c.configMaps[r] = follow(ctx, k, c.notify)
		case !r.ConfigMap && c.secrets[r] == nil:
			k, err := newKind("secret "+r.Namespace+"/"+r.Name, listWatch(c.client, core.Secrets(r.Namespace), only), &corev1.Secret{}, trimSecret, c.notify)
			failed = errors.Join(failed, err)
			c.secrets[r] = follow(ctx, k, c.notify)
		}
	}
	drop(c.secrets, wanted)
	drop(c.configMaps, wanted)
	return failed
}

// follow an object until it is stopped, and tell when it was read first.
func follow[T object](ctx context.Context, k *kind[T], notify func()) *referred[T] {
	if k == nil {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	go k.run(ctx)
	go func() {
		if k.answered(ctx) {
			notify()
		}
	}()
	return &referred[T]{k, stop}
}

func drop[T object](followed map[model.CredentialRef]*referred[T], wanted map[model.CredentialRef]bool) {
	for r, f := range followed {
		if f == nil {
			delete(followed, r)
		} else if !wanted[r] {
			f.stop()
			delete(followed, r)
		}
	}
}

func (c *credentials) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.secrets {
		if !f.hasAnswered() {
			return false
		}
	}
	for _, f := range c.configMaps {
		if !f.hasAnswered() {
			return false
		}
	}
	return true
}

// read what there is: the same slice as long as nothing changed.
func (c *credentials) read() []*model.Credential {
	c.mu.Lock()
	defer c.mu.Unlock()
	var secrets []*corev1.Secret
	var configMaps []*corev1.ConfigMap
	for r, f := range c.secrets {
		secrets = append(secrets, named(f.objects(), r.Name)...)
	}
	for r, f := range c.configMaps {
		configMaps = append(configMaps, named(f.objects(), r.Name)...)
	}
	c.last = credential.Build(secrets, configMaps, c.last)
	return c.last.Credentials
}

// named objects only, whatever the server made of the selector.
func named[T object](objects []T, name string) []T {
	return slices.DeleteFunc(slices.Clone(objects), func(o T) bool { return o.GetName() != name })
}

// trimSecret keeps what a gateway may show or verify with.
func trimSecret(o *corev1.Secret) *corev1.Secret {
	out := &corev1.Secret{ObjectMeta: identityOf(o.ObjectMeta), Data: map[string][]byte{}}
	for k, v := range o.Data {
		if slices.Contains(credential.Keys, k) {
			out.Data[k] = v
		}
	}
	return out
}

// trimAuthority keeps the CA certificates of a ConfigMap.
func trimAuthority(o *corev1.ConfigMap) *corev1.ConfigMap {
	out := &corev1.ConfigMap{ObjectMeta: identityOf(o.ObjectMeta), Data: only(o.Data, credential.Keys...)}
	for k, v := range o.BinaryData {
		if slices.Contains(credential.Keys, k) {
			if out.BinaryData == nil {
				out.BinaryData = map[string][]byte{}
			}
			out.BinaryData[k] = v
		}
	}
	return out
}
