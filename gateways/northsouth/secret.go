// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// errStranger is a proxy whose pod the API server has not told of yet.
var errStranger = errors.New("the pod of this proxy is not known yet")

// credential that a listener refers to, if the proxy may have it. Why not is
// the error; it says what mends it.
func (t *translation) credential(a attached, r model.CredentialRef) (*model.Credential, error) {
	if !t.Proxy.Known {
		// Its labels are only what it says of itself.
		return nil, errStranger
	}
	r = t.resolve(r)
	kind := "Secret"
	if r.ConfigMap {
		kind = "ConfigMap"
	}
	// The namespace of the pod is proved by its certificate. A gateway's author
	// names Secrets, but it is the pod that would hold the key.
	granted := r.Granted && a.gateway.SelectorNamespace == t.Proxy.Namespace
	if r.Namespace != t.Proxy.Namespace && !granted {
		return nil, fmt.Errorf("%s %s/%s is in another namespace than the gateway's pods, which are in %q; move it there, or allow it by a ReferenceGrant if this is a Gateway of the Gateway API",
			kind, r.Namespace, r.Name, t.Proxy.Namespace)
	}
	c := model.FindCredential(t.Mesh.Credentials, r)
	switch {
	case c == nil:
		return nil, fmt.Errorf("%s %s/%s is not there, or can't be read by the control plane; create it", kind, r.Namespace, r.Name)
	case c.Invalid != "":
		return nil, fmt.Errorf("%s %s/%s: %s", kind, r.Namespace, r.Name, c.Invalid)
	}
	return c, nil
}

// resolve a reference to the namespace that it means.
func (t *translation) resolve(r model.CredentialRef) model.CredentialRef {
	if r.Namespace == "" {
		r.Namespace = t.Proxy.Namespace
	}
	return r
}

// certificate serves a credential's certificate and key, and returns the name
// under which.
func (t *translation) certificate(a attached, r model.CredentialRef) (string, error) {
	c, err := t.credential(a, r)
	if err != nil {
		return "", err
	}
	if len(c.Certificate) == 0 {
		return "", fmt.Errorf("Secret %s/%s has a CA only; put tls.crt and tls.key there", c.Namespace, c.Name)
	}
	name := envoy.CredentialSecret(model.CredentialRef{Namespace: c.Namespace, Name: c.Name})
	made, err := envoy.CertificateSecret(name, c)
	return name, t.serve(made, err)
}

// serve a secret to the proxy.
func (t *translation) serve(r *envoy.Resource, err error) error {
	if err == nil {
		t.secrets[r.Name] = r
	}
	return err
}

// authorities serves the CA that clients are verified by, and returns the name
// under which. Several credentials make one CA.
func (t *translation) authorities(a attached) (string, error) {
	l := a.listener.TLS
	refs := slices.Clone(l.CAs)
	if l.CA != nil {
		refs = append([]model.CredentialRef{*l.CA}, refs...)
	}
	switch {
	case len(refs) == 0 && l.CAFile != "":
		made, err := envoy.CAFiles(l.CAFile, l.CRLFile)
		return envoy.FileCASecret(l.CAFile, l.CRLFile), t.serve(made, err)
	case len(refs) == 0 && len(l.Credentials) == 0:
		return "", fmt.Errorf("nothing says which CA verifies clients; give caCertificates or a credential with ca.crt")
	case len(refs) == 0:
		return t.ownAuthorities(a, l.Credentials[0])
	}
	var names []string
	var ca, crl []byte
	var failed error
	for _, r := range refs {
		c, err := t.credential(a, r)
		if err == nil && len(c.CA) == 0 {
			err = fmt.Errorf("%s/%s has no ca.crt; put the CA certificates there in PEM", c.Namespace, c.Name)
		}
		if err != nil {
			failed = err
			continue
		}
		ca, crl = join(ca, c.CA), join(crl, c.CRL)
		names = append(names, envoy.CredentialSecret(model.CredentialRef{Namespace: c.Namespace, Name: c.Name, ConfigMap: c.ConfigMap, CAOnly: true}))
	}
	if failed != nil {
		// Without one of them some clients could not come, but none that should not.
		t.report(a.problem(".tls", "CredentialUnusable", "%v", failed))
	}
	if len(names) == 0 {
		return "", failed
	}
	name := strings.Join(names, ",")
	made, err := envoy.CASecret(name, ca, crl)
	return name, t.serve(made, err)
}

// ownAuthorities are the CA in the Secret's companion, else in the Secret itself.
func (t *translation) ownAuthorities(a attached, r model.CredentialRef) (string, error) {
	companion := r
	companion.Name += model.CompanionCA
	c, err := t.credential(a, companion)
	if err != nil || len(c.CA) == 0 {
		if c, err = t.credential(a, r); err != nil {
			return "", err
		}
	}
	if len(c.CA) == 0 {
		return "", fmt.Errorf("Secret %s/%s has no ca.crt, nor is there a Secret %s%s; put the CA that verifies clients into one of them",
			c.Namespace, c.Name, c.Name, model.CompanionCA)
	}
	name := envoy.CredentialSecret(model.CredentialRef{Namespace: c.Namespace, Name: r.Name, CAOnly: true})
	made, err := envoy.CASecret(name, c.CA, c.CRL)
	return name, t.serve(made, err)
}

func join(a, b []byte) []byte {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b)
	}
	return slices.Concat(bytes.TrimRight(a, "\n"), []byte("\n"), b)
}
