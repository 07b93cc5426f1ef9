// SPDX-License-Identifier: Apache-2.0

package destination_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

func TestTLS(t *testing.T) {
	ca := authority(t)
	auto := "match tlsMode-istio: mesh; match tlsMode-disabled: plain"
	credential := &model.CredentialRef{Name: "client"}
	for name, c := range map[string]struct {
		tls      model.ClientTLS
		target   destination.Target
		protocol model.Protocol
		selector model.Labels
		want     string
		problems []string
	}{
		"Automatic": {want: auto},
		"Disabled":  {tls: model.ClientTLS{Mode: model.DisableTLS}, want: "plain"},
		"Mesh":      {tls: model.ClientTLS{Mode: model.MeshMutualTLS}, want: "sni sni alpn istio-http/1.1,istio-h2,istio cert default ca ROOTCA names URI spiffe://td/ns/shop/sa/reviews"},
		"MeshOverTCP": {
			protocol: model.TCP, tls: model.ClientTLS{Mode: model.MeshMutualTLS, SNI: "other", SubjectNames: []string{"spiffe://x"}},
			want: "sni other alpn istio cert default ca ROOTCA names URI spiffe://x",
		},
		"Simple": {
			tls:  model.ClientTLS{Mode: model.SimpleTLS},
			want: "ca file-root:/etc/ssl/certs/ca-certificates.crt auto sni auto san",
		},
		"SimpleToPortOfHTTPS": {
			protocol: model.TLS, tls: model.ClientTLS{Mode: model.SimpleTLS},
			want: "ca file-root:/etc/ssl/certs/ca-certificates.crt auto sni auto san",
		},
		"SimpleWithNames": {
			tls:  model.ClientTLS{Mode: model.SimpleTLS, SubjectNames: []string{"a.example.com", "spiffe://a", "10.0.0.1"}},
			want: "ca file-root:/etc/ssl/certs/ca-certificates.crt names DNS a.example.com,URI spiffe://a,IP_ADDRESS 10.0.0.1 auto sni",
		},
		"SimpleWithServerName": {
			tls: model.ClientTLS{Mode: model.SimpleTLS, SNI: "a.example.com", CAFile: "/ca.pem", CRLFile: "/crl.pem"}, want: "sni a.example.com ca file-root:/ca.pem~/crl.pem",
		},
		"SimpleHTTP2":   {protocol: model.GRPC, tls: model.ClientTLS{Mode: model.SimpleTLS, SNI: "a"}, want: "sni a alpn h2 ca file-root:/etc/ssl/certs/ca-certificates.crt"},
		"Insecure":      {tls: model.ClientTLS{Mode: model.SimpleTLS, Insecure: true}, want: "auto sni"},
		"MutualByFiles": {tls: model.ClientTLS{Mode: model.MutualTLS, SNI: "a", CertificateFile: "/c.pem", KeyFile: "/k.pem", CAFile: "/ca.pem"}, want: "sni a cert file-cert:/c.pem~/k.pem ca file-root:/ca.pem"},
		"MutualByCredential": {
			target: destination.Target{Gateway: true, Namespace: "edge"}, tls: model.ClientTLS{Mode: model.MutualTLS, SNI: "a", Credential: credential},
			want: "sni a cert kubernetes://edge/client ca kubernetes://edge/client-cacert",
		},
		"SimpleByCredential": {
			target: destination.Target{Gateway: true, Namespace: "edge"}, tls: model.ClientTLS{Mode: model.SimpleTLS, SNI: "a", Credential: credential},
			want: "sni a ca kubernetes://edge/client-cacert",
		},
		"CredentialOfSidecar": {
			target: destination.Target{Namespace: "shop"}, tls: model.ClientTLS{Mode: model.SimpleTLS, SNI: "a", Credential: credential, CAFile: "/ca.pem"}, want: "sni a ca file-root:/ca.pem",
		},
		"CredentialOfSelectedSidecar": {
			selector: "app=client", target: destination.Target{Namespace: "shop"}, tls: model.ClientTLS{Mode: model.SimpleTLS, SNI: "a", Credential: credential},
			want: "sni a ca kubernetes://shop/client-cacert",
		},
		"GatewaysCertificate": {
			target: destination.Target{Gateway: true, Namespace: "edge", ClientCertificate: &model.CredentialRef{Namespace: "certs", Name: "own"}},
			tls:    model.ClientTLS{Mode: model.SimpleTLS, SNI: "a", SystemCA: true}, want: "sni a cert kubernetes://certs/own ca file-root:/etc/ssl/certs/ca-certificates.crt",
		},
		"CAWrittenOut": {tls: model.ClientTLS{Mode: model.SimpleTLS, SNI: "a", SubjectNames: []string{"a"}, CA: ca}, want: "sni a ca inline names DNS a"},
		"CANotReadable": {
			tls:  model.ClientTLS{Mode: model.SimpleTLS, SNI: "a", CA: []byte("nonsense")},
			want: "no endpoints; " + auto, problems: []string{"spec.trafficPolicy.tls.caCertificates InvalidCA"},
		},
		"Invalid": {tls: model.ClientTLS{Mode: model.SimpleTLS, Invalid: "the ConfigMap isn't there"}, want: "no endpoints; " + auto},
	} {
		t.Run(name, func(t *testing.T) {
			target := c.target
			target.Settings, target.SNI = &model.Settings{}, "sni"
			if c.protocol == model.Auto {
				c.protocol = model.HTTP
			}
			target.Service = &model.Service{Hostname: "a.b", Identities: []string{"spiffe://td/ns/shop/sa/reviews"}, Ports: []model.Port{{Number: 80, Protocol: c.protocol}}}
			target.Policy = &model.DestinationPolicy{Selector: c.selector, Policy: of(model.PortPolicy{TLS: &c.tls})}
			cluster := base(target.Service, false)
			var problems []string
			for _, p := range destination.Apply(cluster, target) {
				problems = append(problems, p.Field+" "+p.Reason)
			}
			if d := cmp.Diff(c.want, security(t, cluster)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if d := cmp.Diff(c.problems, problems); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
			if want := c.tls.Mode == model.SimpleTLS || c.tls.Mode == model.MutualTLS; target.ForeignTLS() != want {
				t.Errorf("ForeignTLS is %v", !want)
			}
		})
	}
}

func TestProxyProtocol(t *testing.T) {
	svc := &model.Service{Hostname: "a.b", Ports: []model.Port{{Number: 80}}}
	for version, want := range map[uint8]string{1: "match tlsMode-istio: PROXY V1, mesh; match tlsMode-disabled: PROXY V1, plain", 2: "match tlsMode-istio: PROXY V2, mesh; match tlsMode-disabled: PROXY V2, plain"} {
		c := base(svc, false)
		destination.Apply(c, destination.Target{Settings: &model.Settings{}, Service: svc, Policy: &model.DestinationPolicy{Policy: model.TrafficPolicy{ProxyProtocol: version}}})
		if d := cmp.Diff(want, security(t, c)); d != "" {
			t.Error(d)
		}
	}
}

// security of a cluster in words.
func security(t *testing.T, c *clusterv3.Cluster) string {
	t.Helper()
	var parts []string
	if c.GetType() == clusterv3.Cluster_STATIC && len(c.GetLoadAssignment().GetEndpoints()) == 0 {
		parts = append(parts, "no endpoints")
	}
	for _, m := range c.GetTransportSocketMatches() {
		said := socket(t, m.GetTransportSocket())
		said = strings.Replace(said, "sni sni alpn istio cert default ca ROOTCA names URI spiffe://td/ns/shop/sa/reviews", "mesh", 1)
		said = strings.Replace(said, "sni sni alpn istio cert default ca ROOTCA names URI urn:isthmesh:no-identity", "mesh", 1)
		parts = append(parts, "match "+m.GetName()+": "+said)
	}
	if len(c.GetTransportSocketMatches()) == 0 {
		said := socket(t, c.GetTransportSocket())
		var options upstreamv3.HttpProtocolOptions
		if o := c.GetTypedExtensionProtocolOptions()["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]; o != nil {
			if err := o.UnmarshalTo(&options); err != nil {
				t.Fatal(err)
			}
		}
		if options.GetUpstreamHttpProtocolOptions().GetAutoSni() {
			said += " auto sni"
		}
		if options.GetUpstreamHttpProtocolOptions().GetAutoSanValidation() {
			said += " auto san"
		}
		parts = append(parts, strings.TrimSpace(said))
	}
	return strings.Join(parts, "; ")
}

func socket(t *testing.T, s *corev3.TransportSocket) string {
	t.Helper()
	if s == nil {
		return "plain"
	}
	m, err := s.GetTypedConfig().UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	switch m := m.(type) {
	case *proxyprotocolv3.ProxyProtocolUpstreamTransport:
		return "PROXY " + m.GetConfig().GetVersion().String() + ", " + socket(t, m.GetTransportSocket())
	case *tlsv3.UpstreamTlsContext:
		return context(m)
	default:
		return "plain"
	}
}

func context(c *tlsv3.UpstreamTlsContext) string {
	var b strings.Builder
	said := func(name, value string) {
		if value != "" {
			b.WriteString(" " + name + " " + value)
		}
	}
	said("sni", c.GetSni())
	said("alpn", strings.Join(c.GetCommonTlsContext().GetAlpnProtocols(), ","))
	for _, s := range c.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs() {
		said("cert", s.GetName())
	}
	said("ca", c.GetCommonTlsContext().GetCombinedValidationContext().GetValidationContextSdsSecretConfig().GetName())
	v := c.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext()
	if w := c.GetCommonTlsContext().GetValidationContext(); w != nil {
		v = w
		said("ca", "inline")
	}
	var names []string
	for _, n := range v.GetMatchTypedSubjectAltNames() {
		names = append(names, n.GetSanType().String()+" "+n.GetMatcher().GetExact())
	}
	said("names", strings.Join(names, ","))
	return strings.TrimSpace(b.String())
}

func TestSecrets(t *testing.T) {
	p := &model.DestinationPolicy{
		Policy: model.TrafficPolicy{
			PortPolicy: model.PortPolicy{TLS: &model.ClientTLS{Mode: model.MutualTLS, CertificateFile: "/c.pem", KeyFile: "/k.pem"}},
			Ports:      []model.PortPolicy{{Port: 443, TLS: &model.ClientTLS{Mode: model.SimpleTLS, CAFile: "/ca.pem"}}},
		},
		Subsets: []model.Subset{{Name: "v1", Policy: of(model.PortPolicy{TLS: &model.ClientTLS{Mode: model.MutualTLS, Credential: &model.CredentialRef{Name: "b"}}})}},
	}
	files, credentials, err := destination.Secrets(p)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	want := []string{"file-cert:/c.pem~/k.pem", "file-root:/ca.pem", "file-root:/etc/ssl/certs/ca-certificates.crt"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]model.CredentialRef{{Name: "b"}}, credentials); d != "" {
		t.Error(d)
	}
}

func TestHashPolicies(t *testing.T) {
	for want, k := range map[string]*model.HashKey{
		`{"header":{"headerName":"x-user"}}`:               {Header: "x-user"},
		`{"queryParameter":{"name":"q"}}`:                  {Query: "q"},
		`{"connectionProperties":{"sourceIp":true}}`:       {SourceIP: true},
		`{"cookie":{"name":"user","path":"/","ttl":"0s"}}`: {Cookie: &model.HashCookie{Name: "user", Path: "/", TTL: new(time.Duration(0))}},
		`{"cookie":{"attributes":[{"name":"SameSite","value":"Strict"}],"name":"user"}}`: {
			Cookie: &model.HashCookie{Name: "user", Attributes: []model.Header{{Name: "SameSite", Value: "Strict"}, {Name: "no name"}}},
		},
	} {
		got := destination.HashPolicies(&model.Balancer{Kind: model.Maglev, Hash: k})
		if len(got) != 1 {
			t.Fatalf("%s: %v", want, got)
		}
		var canonical any
		text, _ := protojson.Marshal(got[0])
		if err := json.Unmarshal(text, &canonical); err != nil {
			t.Fatal(err)
		}
		text, _ = json.Marshal(canonical)
		if d := cmp.Diff(want, string(text)); d != "" {
			t.Error(d)
		}
		if destination.HashPolicies(&model.Balancer{Kind: model.Random, Hash: k}) != nil {
			t.Error("a balancer that doesn't hash has a hash policy")
		}
	}
	if got := fmt.Sprint(destination.HashPolicies(nil)); got != "[]" {
		t.Error(got)
	}
}
