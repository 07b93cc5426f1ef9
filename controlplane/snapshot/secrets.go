// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// secrets that callers of a class show to servers, or verify them by.
type secrets struct {
	credentials []*model.Credential
	// files are paths in the proxy; keys come out of Secrets, and are only for
	// proxies that the API server has told of.
	files, keys layer
	problems    []model.Problem
}

// holder of credentials towards a service; the zero value unless its policy
// asks for TLS that is not the mesh's, so that classes share what they can.
func (c *class) holder(p *model.DestinationPolicy) sidecar.Holder {
	if p == nil || !originates(p) || !c.caller.Gateway && p.Selector == "" {
		return sidecar.Holder{}
	}
	return sidecar.Holder{Namespace: c.caller.Namespace, Gateway: c.caller.Gateway, ClientCertificate: c.caller.ClientCertificate}
}

// originates is true when a policy asks for TLS that is not the mesh's.
func originates(p *model.DestinationPolicy) bool {
	asks := func(t *model.TrafficPolicy) bool {
		one := func(q model.PortPolicy) bool {
			return q.TLS != nil && (q.TLS.Mode == model.SimpleTLS || q.TLS.Mode == model.MutualTLS)
		}
		return one(t.PortPolicy) || slices.ContainsFunc(t.Ports, one)
	}
	return asks(&p.Policy) || slices.ContainsFunc(p.Subsets, func(u model.Subset) bool { return asks(&u.Policy) })
}

// secretsOf a class: those that the policies on its services name.
func (s *Snapshot) secretsOf(c, earlier *class) {
	if earlier.basis == c.basis && slices.Equal(earlier.secrets.credentials, s.mesh.Credentials) {
		c.secrets = earlier.secrets
		return
	}
	c.secrets.credentials = s.mesh.Credentials
	var files, keys []*envoy.Resource
	seen := map[*model.DestinationPolicy]bool{}
	if p := sidecar.ByNamePolicy(s.mesh.Settings); p != nil {
		paths, _, err := destination.Secrets(p)
		s.reportShared(err)
		files = append(files, paths...)
	}
	for _, e := range c.entries {
		p := e.in.policy
		if p == nil || seen[p] || !originates(p) {
			continue
		}
		seen[p] = true
		paths, refs, err := destination.Secrets(p)
		if err != nil {
			c.secrets.problems = append(c.secrets.problems, p.Problem("spec.trafficPolicy.tls", "NotTranslated", err.Error()))
			continue
		}
		files = append(files, paths...)
		h := c.holder(p)
		if h.ClientCertificate.Name != "" {
			refs = append(refs, h.ClientCertificate)
		}
		if h == (sidecar.Holder{}) {
			continue
		}
		for _, r := range refs {
			made, problem := s.keysOf(c, p, r)
			keys = append(keys, made...)
			if problem != nil {
				c.secrets.problems = append(c.secrets.problems, *problem)
			}
		}
	}
	c.secrets.files = earlier.secrets.files.renew(files)
	c.secrets.keys = earlier.secrets.keys.renew(keys)
}

// keysOf a reference that a policy makes: certificate and key, and the CA.
// Callers get what is in their own namespace, or what was granted to them.
func (s *Snapshot) keysOf(c *class, p *model.DestinationPolicy, r model.CredentialRef) ([]*envoy.Resource, *model.Problem) {
	if r.Namespace == "" {
		r.Namespace = c.caller.Namespace
	}
	missing := func(format string, args ...any) ([]*envoy.Resource, *model.Problem) {
		problem := p.Problem("spec.trafficPolicy.tls.credentialName", "CredentialUnusable", fmt.Sprintf(format, args...))
		return nil, &problem
	}
	if r.Namespace != c.caller.Namespace && !r.Granted {
		return missing("Secret %s/%s is in another namespace than the proxies that would use it, which are in %q; move it there", r.Namespace, r.Name, c.caller.Namespace)
	}
	own := model.FindCredential(s.mesh.Credentials, r)
	companion := r
	companion.Name += model.CompanionCA
	ca := model.FindCredential(s.mesh.Credentials, companion)
	if ca == nil || len(ca.CA) == 0 {
		ca = own
	}
	switch {
	case own == nil && ca == nil:
		return missing("Secret %s/%s is not there, or can't be read by the control plane; create it", r.Namespace, r.Name)
	case own != nil && own.Invalid != "":
		return missing("Secret %s/%s: %s", r.Namespace, r.Name, own.Invalid)
	}
	var out []*envoy.Resource
	ref := model.CredentialRef{Namespace: r.Namespace, Name: r.Name, ConfigMap: r.ConfigMap}
	if own != nil && len(own.Certificate) > 0 {
		made, err := envoy.CertificateSecret(envoy.CredentialSecret(ref), own)
		if err != nil {
			return missing("%v", err)
		}
		out = append(out, made)
	}
	if ca != nil && len(ca.CA) > 0 {
		ref.CAOnly = true
		made, err := envoy.CASecret(envoy.CredentialSecret(ref), ca.CA, ca.CRL)
		if err != nil {
			return missing("%v", err)
		}
		out = append(out, made)
	}
	return out, nil
}
