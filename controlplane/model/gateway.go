// SPDX-License-Identifier: Apache-2.0

package model

// Gateway is what a north-south proxy listens to: Istio's Gateway, or the
// Gateway API's with its ListenerSets. Its pointer changes when anything in it
// changes.
type Gateway struct {
	Origin
	// Selector of the proxies' pods. A Gateway API Gateway selects by label
	// gateway.networking.k8s.io/gateway-name.
	Selector Labels
	// SelectorNamespace: only pods of this namespace; empty for all.
	SelectorNamespace string
	Listeners         []Listener
	// API is true for the Gateway API: hosts of its listeners are isolated from
	// each other, and routes are merged by specificity.
	API bool
	// ClientCertificate that this gateway shows to backends that ask for one; nil for none.
	ClientCertificate *CredentialRef
}

// Ref of the whole gateway.
func (g *Gateway) Ref() GatewayRef { return GatewayRef{Namespace: g.Namespace, Name: g.Name} }

// ListenerProtocol is what a gateway's listener takes.
type ListenerProtocol uint8

// The protocols. GRPC and HTTP2 are HTTP to a listener.
const (
	ListenHTTP ListenerProtocol = iota
	// ListenHTTPS ends TLS and takes HTTP.
	ListenHTTPS
	// ListenTLS takes TLS: ends it and takes bytes, or passes it on by server name.
	ListenTLS
	ListenTCP
	ListenUDP
)

// Listener of a gateway.
type Listener struct {
	// Name is unique in the gateway; a ListenerSet's is "namespace/set/name".
	Name string
	// Port of the gateway's Service; the proxy binds the target port.
	Port uint16
	// Bind address; empty for all.
	Bind     string
	Protocol ListenerProtocol
	// Hosts that it takes. An empty Namespace takes routings of any namespace.
	Hosts []ListenerHost
	TLS   *ListenerTLS
	// RedirectHTTPS answers every plain request with 301 to https.
	RedirectHTTPS bool
	// GRPCWeb: requests of gRPC-Web are turned into gRPC (protocol GRPC-WEB); ListenHTTP only.
	GRPCWeb bool
	// Invalid listeners are not programmed.
	Invalid bool
	// Closed: nothing is served, and what it would take goes to nobody else either:
	// its proxy refuses it. A closed listener needs no certificate.
	Closed bool
	// Unnamed: of a closed listener those hosts aren't named which no other one would take.
	Unnamed bool
	// HTTP3 also takes HTTP/3 (QUIC) on the UDP port of the same number and
	// announces it (annotation isthmesh.dev/http3 of the object); ListenHTTPS only.
	HTTP3 bool
}

// ListenerHost is a name, "*", or "*." and a suffix, and the namespace whose
// routings may use it.
type ListenerHost struct{ Namespace, Host string }

// ListenerTLSMode is what becomes of TLS at a listener.
type ListenerTLSMode uint8

// The modes of Istio's Gateway.
const (
	TerminateTLS ListenerTLSMode = iota
	// MutualListenerTLS asks for a client certificate and refuses calls without a valid one.
	MutualListenerTLS
	// OptionalMutualTLS asks for one and refuses invalid ones.
	OptionalMutualTLS
	// MeshListenerTLS is mutual TLS with the mesh's identities (ISTIO_MUTUAL).
	MeshListenerTLS
	// PassthroughTLS sends on by server name as routings say.
	PassthroughTLS
	// AutoPassthroughTLS sends on to the service that the server name spells.
	AutoPassthroughTLS
)

// ListenerTLS of a listener.
type ListenerTLS struct {
	Mode ListenerTLSMode
	// Credentials hold certificate and key; the first fits when the client names no server.
	Credentials []CredentialRef
	// Files in the proxy, instead of Credentials.
	CertificateFile, KeyFile, CAFile, CRLFile string
	// MoreFiles are further certificates with their keys, beside CertificateFile and KeyFile.
	MoreFiles []CertificateFiles
	// CA verifies clients; nil: the first credential's own ca.crt (or its companion "-cacert").
	CA *CredentialRef
	// CAs verify clients beside CA (Gateway API: several caCertificateRefs).
	CAs []CredentialRef
	// AllowInvalidClients takes clients whose certificate doesn't verify (Gateway API AllowInsecureFallback).
	AllowInvalidClients bool
	// SubjectNames, SPKIHashes (base64) and CertificateHashes (hex) of clients; one must match each list that isn't empty.
	SubjectNames, SPKIHashes, CertificateHashes []string
	// MinVersion and MaxVersion: 0 automatic, else 0x0301 to 0x0304 (RFC 8446).
	MinVersion, MaxVersion uint16
	CipherSuites           []string
}

// CertificateFiles are paths in the proxy of a certificate chain and its key.
type CertificateFiles struct{ Certificate, Key string }

// ForwardedCertificate is what a gateway makes of the header
// x-forwarded-client-cert. The zero value is SanitizeSet.
type ForwardedCertificate uint8

// What becomes of the header.
const (
	// SanitizeSet replaces what the client sent by the certificate that it showed.
	SanitizeSet ForwardedCertificate = iota
	Sanitize
	ForwardOnly
	AppendForward
	AlwaysForwardOnly
)

// Topology says what stands before a gateway (Istio's gatewayTopology). The
// zero value trusts nobody.
type Topology struct {
	// TrustedProxies before the gateway that write X-Forwarded-For.
	TrustedProxies uint32
	Certificate    ForwardedCertificate
	// ProxyProtocol: connections begin with the PROXY protocol, version 1 or 2.
	ProxyProtocol bool
}
