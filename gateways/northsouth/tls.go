// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"errors"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// errNoTLS is a listener that speaks TLS and doesn't say how.
var errNoTLS = errors.New("it takes TLS and doesn't say how; give it tls with a mode and a credential")

// socket that ends TLS at a listener. A listener whose certificate can't be had
// is left out: the others on its port must not wait for it.
func (t *translation) socket(a attached, alpn []string) (*corev3.TransportSocket, error) {
	if a.listener.TLS == nil {
		return nil, errNoTLS
	}
	if t.Assumed {
		// What the pods may have is seen when they are there.
		return nil, nil
	}
	if a.listener.TLS.Mode == model.MeshListenerTLS {
		return t.meshSocket(a.listener.TLS)
	}
	context, err := t.downstream(a, alpn)
	if err != nil {
		return nil, err
	}
	return &corev3.TransportSocket{Name: envoy.TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(context)}}, nil
}

// meshSocket is mutual TLS with the mesh's identities; with those only that are
// named, if any are.
func (t *translation) meshSocket(l *model.ListenerTLS) (*corev3.TransportSocket, error) {
	socket := envoy.ServerTLS(t.Mesh.Settings.MeshTLS)
	if len(l.SubjectNames) == 0 {
		return socket, nil
	}
	context := &tlsv3.DownstreamTlsContext{}
	if err := socket.GetTypedConfig().UnmarshalTo(context); err != nil {
		return nil, err
	}
	v := context.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext()
	v.MatchTypedSubjectAltNames = nil
	for _, name := range l.SubjectNames {
		v.MatchTypedSubjectAltNames = append(v.MatchTypedSubjectAltNames, envoy.SubjectName(tlsv3.SubjectAltNameMatcher_URI, name))
	}
	return &corev3.TransportSocket{Name: envoy.TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(context)}}, nil
}

// downstream TLS of a listener with certificates of its own.
func (t *translation) downstream(a attached, alpn []string) (*tlsv3.DownstreamTlsContext, error) {
	certificates, err := t.certificates(a)
	if err != nil {
		return nil, err
	}
	ca := ""
	if l := a.listener.TLS; l.Mode == model.MutualListenerTLS || l.Mode == model.OptionalMutualTLS {
		if ca, err = t.authorities(a); err != nil {
			return nil, err
		}
	}
	return envoy.ListenerTLS(t.Mesh.Settings.OtherTLS, a.listener.TLS, alpn, certificates, ca)
}

// certificates of a listener. Of several those that can be had serve; the
// others are reported.
func (t *translation) certificates(a attached) ([]*tlsv3.SdsSecretConfig, error) {
	l := a.listener.TLS
	var names []string
	var failed error
	for _, r := range l.Credentials {
		name, err := t.certificate(a, r)
		if err != nil {
			failed = err
			continue
		}
		names = append(names, name)
	}
	files := slices.Clone(l.MoreFiles)
	if l.CertificateFile != "" {
		files = append([]model.CertificateFiles{{Certificate: l.CertificateFile, Key: l.KeyFile}}, files...)
	}
	for _, f := range files {
		made, err := envoy.CertificateFiles(f)
		if err := t.serve(made, err); err != nil {
			return nil, err
		}
		names = append(names, envoy.FileSecret(f))
	}
	switch {
	case len(names) == 0 && failed == nil:
		return nil, errNoTLS
	case len(names) == 0:
		return nil, failed
	case failed != nil:
		t.report(a.problem(".tls", "CredentialUnusable", "%v", failed))
	}
	var out []*tlsv3.SdsSecretConfig
	for i, name := range names {
		if !slices.Contains(names[:i], name) {
			out = append(out, envoy.Credential(name))
		}
	}
	return out, nil
}
