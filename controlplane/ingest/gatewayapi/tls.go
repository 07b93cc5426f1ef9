// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// secure looks at a listener's certificates.
func (x *index) secure(l *listener) {
	spec := l.spec.TLS
	switch l.spec.Protocol {
	case gateway.HTTPSProtocolType, gateway.TLSProtocolType:
	default:
		if spec != nil {
			x.problem(l.from, l.field("tls"), notSupported, fmt.Sprintf("a listener of protocol %s has no TLS: remove the field, or use HTTPS or TLS", l.spec.Protocol))
		}
		return
	}
	if mode(&l.spec) == gateway.TLSModePassthrough {
		l.tls = &model.ListenerTLS{Mode: model.PassthroughTLS}
		if l.spec.Protocol == gateway.HTTPSProtocolType {
			l.accept.first(faultf(gateway.ListenerReasonUnsupportedValue, "A listener of protocol HTTPS ends TLS: use protocol TLS for mode Passthrough."))
		}
		return
	}
	l.tls = &model.ListenerTLS{Mode: model.TerminateTLS}
	if spec != nil && spec.Options[optionIstioMode] == "ISTIO_MUTUAL" {
		l.tls.Mode = model.MeshListenerTLS // the proxy's own certificate serves
		return
	}
	if spec == nil || len(spec.CertificateRefs) == 0 {
		l.refs.first(faultf(gateway.ListenerReasonInvalidCertificateRef, "There is no certificate: name a Secret in tls.certificateRefs."))
		l.serves.first(l.refs)
		return
	}
	for i, r := range spec.CertificateRefs {
		ref, f := x.certificate(l, r)
		if !f.none() {
			f.message = fmt.Sprintf("tls.certificateRefs[%d]: %s", i, f.message)
			l.refs.first(f)
		}
		if ref != nil {
			l.tls.Credentials = append(l.tls.Credentials, *ref)
		}
	}
	if len(l.tls.Credentials) == 0 {
		l.serves.first(l.refs)
	}
	x.tlsOptions(l)
}

func (l *listener) field(inside string) string {
	return fmt.Sprintf("spec.listeners[name=%s].%s", l.spec.Name, inside)
}

// certificate is what a listener's reference names; nil when it can't be used.
func (x *index) certificate(l *listener, r gateway.SecretObjectReference) (*model.CredentialRef, fault) {
	group, kind := string(deref(r.Group, groupCore)), string(deref(r.Kind, kindSecret))
	if group != groupCore || kind != kindSecret {
		return nil, faultf(gateway.ListenerReasonInvalidCertificateRef, "%s is not a kind that holds certificates: name a Secret.", qualified(group, kind))
	}
	to := name{string(deref(r.Namespace, gateway.Namespace(l.from.Namespace))), string(r.Name)}
	return x.secret(referrer{l.from.Kind, l.from.Namespace}, to, l.gateway.Namespace, string(gateway.ListenerReasonInvalidCertificateRef))
}

// secret with a certificate and key that a gateway's proxies are to get. The
// fault's reason is the given one unless the reference isn't permitted.
func (x *index) secret(from referrer, to name, proxies, reason string) (*model.CredentialRef, fault) {
	if !x.permitted(from, groupCore, kindSecret, to) {
		return nil, notPermitted(from, kindSecret, to)
	}
	ref := model.CredentialRef{Namespace: to.namespace, Name: to.name, Granted: to.namespace != proxies}
	switch c := x.credential(ref); {
	case c == nil:
		return nil, faultf(reason, "There is no Secret %s.", to)
	case c.Invalid != "":
		return nil, faultf(reason, "Secret %s can't be used: %s", to, c.Invalid)
	case len(c.Certificate) == 0:
		return nil, faultf(reason, "Secret %s has no certificate and key: fill tls.crt and tls.key.", to)
	}
	return &ref, fault{}
}

func notPermitted(from referrer, kind string, to name) fault {
	return faultf(gateway.ListenerReasonRefNotPermitted, "%s %s is in another namespace: a ReferenceGrant there must allow it from kind %s of namespace %s.",
		kind, to, from.kind, from.namespace)
}

// authority is a ConfigMap, or a Secret, with CA certificates.
func (x *index) authority(from referrer, group, kind string, to name, proxies string, wrong, unknown string) (*model.CredentialRef, *model.Credential, fault) {
	if group != groupCore || kind != kindConfigMap && kind != kindSecret {
		return nil, nil, faultf(unknown, "%s is not a kind that holds CA certificates: name a ConfigMap.", qualified(group, kind))
	}
	if !x.permitted(from, groupCore, kind, to) {
		return nil, nil, notPermitted(from, kind, to)
	}
	ref := model.CredentialRef{Namespace: to.namespace, Name: to.name, ConfigMap: kind == kindConfigMap, CAOnly: true, Granted: to.namespace != proxies}
	c := x.credential(ref)
	switch {
	case c == nil:
		return nil, nil, faultf(wrong, "There is no %s %s.", kind, to)
	case len(c.CA) == 0 && c.Invalid != "":
		return nil, nil, faultf(wrong, "%s %s can't be used: %s", kind, to, c.Invalid)
	case len(c.CA) == 0:
		return nil, nil, faultf(wrong, "%s %s has no CA certificates: fill ca.crt.", kind, to)
	}
	return &ref, c, fault{}
}

// frontend adds what the Gateway wants of its clients' certificates.
func (x *index) frontend(l *listener, spec *gateway.GatewayTLSConfig) {
	if spec == nil || spec.Frontend == nil || l.tls == nil || l.tls.Mode == model.PassthroughTLS {
		return
	}
	want := spec.Frontend.Default.Validation
	for _, p := range spec.Frontend.PerPort {
		if p.Port == l.spec.Port {
			want = p.TLS.Validation
		}
	}
	if want == nil || l.spec.Protocol != gateway.HTTPSProtocolType {
		return
	}
	l.tls.Mode = model.MutualListenerTLS
	switch want.Mode {
	case gateway.AllowInsecureFallback:
		l.tls.Mode, l.tls.AllowInvalidClients = model.OptionalMutualTLS, true
	case gateway.AllowValidOnly, "":
	default:
		l.accept.first(faultf(gateway.ListenerReasonUnsupportedValue, "Mode %q of client validation is not known: use AllowValidOnly or AllowInsecureFallback.", want.Mode))
	}
	var found []model.CredentialRef
	var refs fault
	for _, r := range want.CACertificateRefs {
		to := name{string(deref(r.Namespace, gateway.Namespace(l.gateway.Namespace))), string(r.Name)}
		ref, _, f := x.authority(referrer{kindGateway, l.gateway.Namespace}, string(r.Group), string(r.Kind), to, l.gateway.Namespace,
			string(gateway.ListenerReasonInvalidCACertificateRef), string(gateway.ListenerReasonInvalidCACertificateKind))
		refs.first(f)
		if ref != nil {
			found = append(found, *ref)
		}
	}
	l.refs.first(refs)
	if len(found) == 0 {
		l.accept.first(faultf(gateway.ListenerReasonNoValidCACertificate, "No reference to CA certificates of clients can be used. %s", refs.message))
		return
	}
	l.tls.CA, l.tls.CAs = &found[0], found[1:]
}

// The options of a listener's TLS that are known; the mode is Istio's.
const (
	optionMinVersion = "isthmesh.dev/tls-min-version"
	optionMaxVersion = "isthmesh.dev/tls-max-version"
	optionCiphers    = "isthmesh.dev/tls-cipher-suites"
	optionIstioMode  = "gateway.istio.io/tls-terminate-mode"
)

var tlsVersions = map[string]uint16{"1.0": 0x0301, "1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304}

// tlsOptions reads spec.tls.options; one that isn't known is told.
func (x *index) tlsOptions(l *listener) {
	for _, key := range sortedKeys(l.spec.TLS.Options) {
		value := string(l.spec.TLS.Options[key])
		wrong := func(want string) {
			l.accept.first(faultf(gateway.ListenerReasonUnsupportedValue, "tls.options[%s]: %q is not known: use %s.", key, value, want))
		}
		version, known := tlsVersions[value]
		switch string(key) {
		case optionMinVersion:
			if l.tls.MinVersion = version; !known {
				wrong("1.0, 1.1, 1.2 or 1.3")
			}
		case optionMaxVersion:
			if l.tls.MaxVersion = version; !known {
				wrong("1.0, 1.1, 1.2 or 1.3")
			}
		case optionCiphers:
			l.tls.CipherSuites = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		case optionIstioMode:
			switch value {
			case "SIMPLE":
			case "MUTUAL":
				l.tls.Mode = model.MutualListenerTLS
			default:
				wrong("SIMPLE, MUTUAL or ISTIO_MUTUAL")
			}
		default:
			x.problem(l.from, l.field("tls.options["+string(key)+"]"), notSupported, "the option is not known and has no effect: remove it")
		}
	}
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
