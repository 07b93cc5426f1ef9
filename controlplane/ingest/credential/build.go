// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Output of Build. It is immutable.
type Output struct {
	// Credentials sorted by namespace, name and kind. Those that can't be used
	// are there too, and say why.
	Credentials []*model.Credential

	secrets    map[*corev1.Secret]*model.Credential
	configMaps map[*corev1.ConfigMap]*model.Credential
}

// Build reads credentials out of objects. What prev has read already is not
// read again, and what says the same stays the same pointer.
func Build(secrets []*corev1.Secret, configMaps []*corev1.ConfigMap, prev *Output) *Output {
	if prev == nil {
		prev = &Output{}
	}
	next := &Output{
		Credentials: make([]*model.Credential, 0, len(secrets)+len(configMaps)),
		secrets:     make(map[*corev1.Secret]*model.Credential, len(secrets)),
		configMaps:  make(map[*corev1.ConfigMap]*model.Credential, len(configMaps)),
	}
	for _, o := range secrets {
		c := prev.secrets[o]
		if c == nil {
			c = prev.share(FromSecret(o))
		}
		next.secrets[o] = c
		next.Credentials = append(next.Credentials, c)
	}
	for _, o := range configMaps {
		c := prev.configMaps[o]
		if c == nil {
			c = prev.share(FromConfigMap(o))
		}
		next.configMaps[o] = c
		next.Credentials = append(next.Credentials, c)
	}
	slices.SortFunc(next.Credentials, func(a, b *model.Credential) int { return a.Compare(b.CredentialRef) })
	next.Credentials = slices.CompactFunc(next.Credentials, func(a, b *model.Credential) bool { return a.CredentialRef == b.CredentialRef })
	if slices.Equal(prev.Credentials, next.Credentials) {
		next.Credentials = prev.Credentials
	}
	return next
}

// share returns the earlier credential of this name when it says the same.
func (o *Output) share(c *model.Credential) *model.Credential {
	if old := model.FindCredential(o.Credentials, c.CredentialRef); old != nil && equal(old, c) {
		return old
	}
	return c
}

func equal(a, b *model.Credential) bool {
	return a.Invalid == b.Invalid && slices.Equal(a.Certificate, b.Certificate) && slices.Equal(a.CA, b.CA) &&
		slices.Equal(a.CRL, b.CRL) && slices.Equal(a.OCSPStaple, b.OCSPStaple) && slices.Equal(a.Key.Reveal(), b.Key.Reveal())
}
