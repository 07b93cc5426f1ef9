// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"strings"

	api "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// clientTLS of calls to a host. What can't be followed is Invalid: then nothing is sent.
func (r *reader) clientTLS(field string, t *api.ClientTLSSettings) *model.ClientTLS {
	if t == nil {
		return nil
	}
	before := r.refusals
	out := &model.ClientTLS{
		SNI: t.GetSni(), SubjectNames: t.GetSubjectAltNames(),
		CertificateFile: t.GetClientCertificate(), KeyFile: t.GetPrivateKey(), CAFile: t.GetCaCertificates(), CRLFile: t.GetCaCrl(),
		Insecure: t.GetInsecureSkipVerify().GetValue(),
	}
	if out.CAFile == systemCA {
		out.CAFile, out.SystemCA = "", true
	}
	switch t.GetMode() {
	case api.ClientTLSSettings_DISABLE:
		out.Mode = model.DisableTLS
	case api.ClientTLSSettings_SIMPLE:
		out.Mode = model.SimpleTLS
	case api.ClientTLSSettings_MUTUAL:
		out.Mode = model.MutualTLS
	case api.ClientTLSSettings_ISTIO_MUTUAL:
		out.Mode = model.MeshMutualTLS
	default:
		r.refuse(field+".mode", "%d is none that is known; use DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL", t.GetMode())
	}
	r.clientFiles(field, t, out)
	if s := t.GetSni(); s != "" && notAName(s) != "" {
		r.refuse(field+".sni", "%.100q is no server name; use a DNS name", s)
	}
	for i, name := range t.GetSubjectAltNames() {
		if name == "" || !isHeaderValue(name) {
			r.refuse(at(field+".subjectAltNames", i), "%.100q is no name; use a DNS name or a URI", name)
		}
	}
	if r.refusals > before {
		return &model.ClientTLS{Mode: out.Mode, Invalid: r.why}
	}
	return out
}

// systemCA as Istio spells the roots of the proxy's own system.
const systemCA = "system"

// clientFiles are where certificates come from: files, a Secret, or the mesh.
func (r *reader) clientFiles(field string, t *api.ClientTLSSettings, out *model.ClientTLS) {
	files := t.GetClientCertificate() != "" || t.GetPrivateKey() != "" || t.GetCaCertificates() != ""
	switch {
	case out.Mode == model.MeshMutualTLS && (files || t.GetCredentialName() != "" || t.GetCaCrl() != ""):
		r.tell(field, noEffect, "ISTIO_MUTUAL uses the mesh's own certificates; remove certificates and credentialName, or use MUTUAL")
		out.CertificateFile, out.KeyFile, out.CAFile, out.CRLFile, out.SystemCA = "", "", "", "", false
	case out.Mode == model.DisableTLS && (files || t.GetCredentialName() != ""):
		r.tell(field, noEffect, "DISABLE uses no certificates; remove them, or use another mode")
		*out = model.ClientTLS{Mode: model.DisableTLS}
		return
	case t.GetCredentialName() != "" && files:
		r.refuse(field+".credentialName", "credentialName and files exclude each other; keep one")
	case out.Mode == model.MutualTLS && t.GetCredentialName() == "" && (t.GetClientCertificate() == "" || t.GetPrivateKey() == ""):
		r.refuse(field, "MUTUAL needs clientCertificate and privateKey, or credentialName; add them")
	case out.Mode == model.SimpleTLS && (t.GetClientCertificate() != "" || t.GetPrivateKey() != ""):
		r.tell(field, noEffect, "SIMPLE shows no certificate of its own; use MUTUAL, or remove clientCertificate and privateKey")
		out.CertificateFile, out.KeyFile = "", ""
	}
	if name := t.GetCredentialName(); name != "" && out.Mode != model.MeshMutualTLS {
		out.Credential = r.credential(field+".credentialName", name)
		if out.Credential != nil {
			out.Credential.CAOnly = out.Mode == model.SimpleTLS
		}
	}
	simple := out.Mode == model.SimpleTLS && t.GetCredentialName() != ""
	if out.Insecure && (out.CAFile != "" || out.SystemCA || len(out.SubjectNames) > 0 || simple) && out.Mode != model.MeshMutualTLS {
		r.reject(field+".insecureSkipVerify", "the server is not verified, so caCertificates, subjectAltNames and a Secret of SIMPLE change nothing; remove them, or it to verify")
	}
}

// credential as credentialName spells it: a Secret of the proxy's own namespace,
// "kubernetes://name", "kubernetes-gateway://namespace/name" or "configmap://name".
func (r *reader) credential(field, name string) *model.CredentialRef {
	out := &model.CredentialRef{}
	rest, ok := strings.CutPrefix(name, "kubernetes://")
	if !ok {
		rest, ok = strings.CutPrefix(name, "configmap://")
		out.ConfigMap = ok
	}
	if !ok {
		rest, ok = strings.CutPrefix(name, "kubernetes-gateway://")
	}
	if !ok && strings.Contains(rest, "://") {
		r.refuse(field, "%.100q is served by another server than this control plane; use the name of a Secret", name)
		return nil
	}
	if namespace, short, slash := strings.Cut(rest, "/"); slash {
		// Another namespace's Secret would be anybody's who can write this object.
		if namespace != r.origin.Namespace {
			r.refuse(field, "%.100q is in another namespace than this object; put the Secret into %q", name, r.origin.Namespace)
			return nil
		}
		out.Namespace, rest = namespace, short
	}
	if notAName(rest) != "" || strings.Contains(rest, ":") {
		r.refuse(field, "%.100q is no name of a Secret; use lower-case letters, digits and hyphens", name)
		return nil
	}
	out.Name = rest
	return out
}
