// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Keys of Secrets and ConfigMaps. The first of each pair is that of Secrets of
// type kubernetes.io/tls, the second Istio's for generic ones.
var (
	keyCertificate = [2]string{corev1.TLSCertKey, "cert"}
	keyPrivate     = [2]string{corev1.TLSPrivateKeyKey, "key"}
	keyCA          = [2]string{corev1.ServiceAccountRootCAKey, "cacert"}
	keyCRL         = [2]string{"ca.crl", "crl"}
)

const keyStaple = "tls.ocsp-staple"

// Keys are all keys of Secrets and ConfigMaps that are read.
var Keys = []string{
	keyCertificate[0], keyCertificate[1], keyPrivate[0], keyPrivate[1],
	keyCA[0], keyCA[1], keyCRL[0], keyCRL[1], keyStaple,
}

// InSecret is true when a Secret has something that is read.
func InSecret(o *corev1.Secret) bool {
	return slices.ContainsFunc(Keys, func(k string) bool { return len(o.Data[k]) > 0 })
}

// InConfigMap is true when a ConfigMap has something that is read.
func InConfigMap(o *corev1.ConfigMap) bool {
	return slices.ContainsFunc(Keys, func(k string) bool { return o.Data[k] != "" || len(o.BinaryData[k]) > 0 })
}

// FromSecret reads a Secret of type kubernetes.io/tls, or a generic one with
// the keys that Istio documents for credentialName. It never fails: a credential
// that can't be used says why.
func FromSecret(o *corev1.Secret) *model.Credential {
	c := &model.Credential{CredentialRef: model.CredentialRef{Namespace: o.Namespace, Name: o.Name}}
	value := func(keys [2]string) ([]byte, string) {
		for _, k := range keys {
			if v := o.Data[k]; len(v) > 0 {
				return v, k
			}
		}
		return nil, keys[0]
	}
	// Istio's own pair of names goes first when both of it are there.
	pair := func() (certificate, key []byte, certificateName, keyName string) {
		if a, b := o.Data[keyCertificate[1]], o.Data[keyPrivate[1]]; len(a) > 0 && len(b) > 0 {
			return a, b, keyCertificate[1], keyPrivate[1]
		}
		certificate, certificateName = value(keyCertificate)
		key, keyName = value(keyPrivate)
		return certificate, key, certificateName, keyName
	}
	certificate, key, certificateName, keyName := pair()
	ca, caName := value(keyCA)
	crl, crlName := value(keyCRL)
	switch {
	case len(certificate) == 0 && len(key) == 0 && len(ca) == 0:
		return invalid(c, "it has neither keys %q and %q nor %q: put a certificate chain and its private key, or a CA certificate, in PEM there",
			keyCertificate[0], keyPrivate[0], keyCA[0])
	case len(certificate) == 0 && len(key) > 0:
		return invalid(c, "key %q is missing beside %q: put the certificate chain in PEM there", certificateName, keyName)
	case len(key) == 0 && len(certificate) > 0:
		return invalid(c, "key %q is missing beside %q: put the private key in PEM there", keyName, certificateName)
	}
	var err error
	if len(certificate) > 0 {
		if c.Certificate, c.Key, err = keyPair(certificate, key); err != nil {
			return invalid(c, "keys %q and %q: %v", certificateName, keyName, err)
		}
		if staple := o.Data[keyStaple]; len(staple) > 0 {
			if err := checkStaple(staple, c.Certificate); err != nil {
				return invalid(c, "key %q: %v", keyStaple, err)
			}
			c.OCSPStaple = staple
		}
	}
	return authorities(c, ca, caName, crl, crlName)
}

// FromConfigMap reads the CA certificates of a ConfigMap, as the Gateway API and
// Istio have them there.
func FromConfigMap(o *corev1.ConfigMap) *model.Credential {
	c := &model.Credential{CredentialRef: model.CredentialRef{Namespace: o.Namespace, Name: o.Name, ConfigMap: true}}
	value := func(keys [2]string) ([]byte, string) {
		for _, k := range keys {
			if v := o.Data[k]; v != "" {
				return []byte(v), k
			}
			if v := o.BinaryData[k]; len(v) > 0 {
				return v, k
			}
		}
		return nil, keys[0]
	}
	ca, caName := value(keyCA)
	crl, crlName := value(keyCRL)
	if len(ca) == 0 {
		return invalid(c, "it has no key %q: put the CA certificates in PEM there", keyCA[0])
	}
	return authorities(c, ca, caName, crl, crlName)
}

// authorities adds CA certificates and revocation lists.
func authorities(c *model.Credential, ca []byte, caName string, crl []byte, crlName string) *model.Credential {
	var err error
	if len(ca) > 0 {
		if c.CA, err = bundle(ca); err != nil {
			return invalid(c, "key %q: %v", caName, err)
		}
	}
	if len(crl) > 0 {
		if c.CRL, err = revocations(crl); err != nil {
			return invalid(c, "key %q: %v", crlName, err)
		}
	}
	return c
}

// invalid is the credential without anything that could be served.
func invalid(c *model.Credential, format string, args ...any) *model.Credential {
	return &model.Credential{CredentialRef: c.CredentialRef, Invalid: fmt.Sprintf(format, args...)}
}
