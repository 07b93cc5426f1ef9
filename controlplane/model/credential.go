// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
)

// CompanionCA is the suffix of the Secret with the CA that belongs to another
// Secret.
const CompanionCA = "-cacert"

// CredentialRef names a Secret, or a ConfigMap with a CA.
type CredentialRef struct {
	// Namespace of the object; empty means the namespace of the proxy that asks
	// (Istio's credentialName).
	Namespace, Name string
	// ConfigMap: it is a ConfigMap with key ca.crt.
	ConfigMap bool
	// CAOnly: only the CA certificates are wanted.
	CAOnly bool
	// Granted: a ReferenceGrant lets proxies of another namespace have it. Without
	// it, only a proxy whose pod is in the object's own namespace gets it.
	Granted bool
}

// Compare orders references by namespace, name and kind; nothing else tells
// objects apart.
func (r CredentialRef) Compare(o CredentialRef) int {
	kind := 0
	switch {
	case r.ConfigMap && !o.ConfigMap:
		kind = 1
	case !r.ConfigMap && o.ConfigMap:
		kind = -1
	}
	return cmp.Or(cmp.Compare(r.Namespace, o.Namespace), cmp.Compare(r.Name, o.Name), kind)
}

// FindCredential among those of a mesh; nil when it is not there.
func FindCredential(all []*Credential, r CredentialRef) *Credential {
	i, ok := slices.BinarySearchFunc(all, r, func(c *Credential, r CredentialRef) int { return c.Compare(r) })
	if !ok {
		return nil
	}
	return all[i]
}

// Credential is the content of a Secret (types kubernetes.io/tls and Opaque,
// keys as Istio reads them) or ConfigMap. Its pointer changes when anything in
// it changes.
type Credential struct {
	CredentialRef
	// Certificate chain, CA and CRL in PEM.
	Certificate, CA, CRL []byte
	// OCSPStaple in DER.
	OCSPStaple []byte
	// Key is PEM.
	Key PrivateBytes
	// Invalid says what is wrong with it; nothing of it is served.
	Invalid string
}

// PrivateBytes are bytes that no verb of fmt and no encoder prints.
type PrivateBytes struct{ reveal func() []byte }

// Private hides bytes; the caller gives them up.
func Private(b []byte) PrivateBytes { return PrivateBytes{reveal: func() []byte { return b }} }

// Reveal the bytes, for the one who sends them where they belong. Read only.
func (p PrivateBytes) Reveal() []byte {
	if p.reveal == nil {
		return nil
	}
	return p.reveal()
}

// String tells nothing.
func (PrivateBytes) String() string { return "[redacted]" }

// MarshalJSON tells nothing.
func (PrivateBytes) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }
