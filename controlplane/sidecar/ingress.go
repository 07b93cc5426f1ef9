// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// unusable says why an ingress listener is left out, and what mends it; the
// reason is empty for one that is good.
func unusable(l *model.Ingress) (reason, message string) {
	if slices.Contains(reserved, l.Port) {
		return "ReservedPort", fmt.Sprintf("port %d is the proxy's own, so the listener is left out; use another one", l.Port)
	}
	if !l.NoCapture {
		return "", ""
	}
	to, err := netip.ParseAddrPort(l.Endpoint)
	bind, _ := netip.ParseAddr(l.Bind)
	wide := !bind.IsValid() || bind.IsUnspecified()
	switch {
	case l.Endpoint == "":
		return "Loop", "with captureMode NONE nothing tells where the application listens, so the listener is left out; add a defaultEndpoint"
	case err == nil && to.Port() == l.Port && (to.Addr().IsUnspecified() && (wide || !bind.IsLoopback()) || to.Addr() == bind):
		return "Loop", "the listener would call itself, so it is left out; give the application another port, or bind one of the two to 127.0.0.1"
	}
	return "", ""
}

// IngressProblems are ingress listeners of a Scope that don't do what they say.
// Whether workloads' own TLS is on is asked for ports with TLS settings.
func IngressProblems(s *model.Scope, meshTLS func(port uint16) (workload string, on bool)) []model.Problem {
	var out []model.Problem
	for i := range s.Ingress {
		l := &s.Ingress[i]
		field := fmt.Sprintf("spec.ingress[%d]", i)
		if reason, message := unusable(l); reason != "" {
			out = append(out, s.Problem(field, reason, message))
			continue
		}
		if l.Bind != "" && !l.NoCapture {
			out = append(out, s.Problem(field+".bind", "NoEffect",
				"connections that are captured come to the pod's own addresses, whatever is bound; remove it, or use captureMode NONE"))
		}
		if l.TLS == nil {
			continue
		}
		if l.TLS.CertificateFile == "" {
			out = append(out, s.Problem(field+".tls", "NotSupported",
				"a sidecar's certificates come from files of the proxy, not from Secrets, so connections are closed where mutual TLS is off; give serverCertificate and privateKey"))
			continue
		}
		if _, err := ownContext(&model.Settings{}, l); err != nil {
			out = append(out, s.Problem(field+".tls", "Invalid", fmt.Sprintf("connections are closed where mutual TLS is off: %v", err)))
		}
		if workload, on := meshTLS(l.Port); on {
			out = append(out, s.Problem(field+".tls", "NoEffect", fmt.Sprintf(
				"workload %s takes the mesh's mutual TLS on port %d, and then no other TLS is ended; set mode DISABLE for the port in a PeerAuthentication", workload, l.Port)))
		}
	}
	return out
}

// ownTLS of an ingress listener; nil when it can't be had.
func ownTLS(s *model.Settings, l *model.Ingress) *corev3.TransportSocket {
	context, err := ownContext(s, l)
	if err != nil {
		return nil
	}
	return &corev3.TransportSocket{Name: envoy.TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(context)}}
}

// ownALPN is what an application's own TLS offers where requests are seen.
var ownALPN = []string{"h2", "http/1.1"}

func ownContext(s *model.Settings, l *model.Ingress) (*tlsv3.DownstreamTlsContext, error) {
	certificates, ca := ownFiles(l.TLS)
	var secrets []*tlsv3.SdsSecretConfig
	for _, f := range certificates {
		secrets = append(secrets, envoy.Credential(envoy.FileSecret(f)))
	}
	verifies := l.TLS.Mode == model.MutualListenerTLS || l.TLS.Mode == model.OptionalMutualTLS
	switch {
	case len(secrets) == 0:
		return nil, fmt.Errorf("there is no certificate; give serverCertificate and privateKey")
	case verifies && ca == "":
		return nil, fmt.Errorf("nothing says which CA verifies clients; give caCertificates")
	}
	var alpn []string
	if l.Protocol == model.Auto || l.Protocol.IsHTTP() {
		alpn = ownALPN
	}
	return envoy.ListenerTLS(s.OtherTLS, l.TLS, alpn, secrets, envoy.FileCASecret(ca, l.TLS.CRLFile))
}

// ownFiles are the files of an ingress listener's TLS.
func ownFiles(t *model.ListenerTLS) (certificates []model.CertificateFiles, ca string) {
	if t.CertificateFile == "" {
		return nil, t.CAFile
	}
	out := []model.CertificateFiles{{Certificate: t.CertificateFile, Key: t.KeyFile}}
	for _, f := range t.MoreFiles {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out, t.CAFile
}

// Secrets that the sidecar's listeners refer to: files of the proxy.
func (in Intake) Secrets() ([]*envoy.Resource, error) {
	var out []*envoy.Resource
	for _, p := range in.ports() {
		if p.socket == nil {
			continue
		}
		certificates, ca := ownFiles(p.ingress.TLS)
		for _, f := range certificates {
			r, err := envoy.CertificateFiles(f)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
		if ca == "" {
			continue
		}
		r, err := envoy.CAFiles(ca, p.ingress.TLS.CRLFile)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// InboundAt begins the names of listeners where a sidecar really listens at an
// address of the application's; the address's own name follows (envoy.AddressListener).
const InboundAt = "inbound_"

// bound is the listener of a port that is not captured; nil when it has no
// address. One that is bound to every address gets the pod's own: an outbound
// listener has all addresses of the port.
func (in Intake) bound(p inboundPort, g guard) (*envoy.Resource, error) {
	addresses := in.Workload.Addresses
	if a, err := netip.ParseAddr(p.ingress.Bind); err == nil && !a.IsUnspecified() {
		addresses = []netip.Addr{a}
	}
	if len(addresses) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to listen on yet
	}
	l := &listenerv3.Listener{
		Name:             InboundAt + envoy.AddressListener(addresses[0], p.port),
		Address:          envoy.Address(addresses[0].String(), p.port),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		AccessLog:        envoy.RefusedLog(in.Settings),
		FilterChains:     p.chains(g),
	}
	for _, a := range addresses[1:] {
		l.AdditionalAddresses = append(l.AdditionalAddresses, &listenerv3.AdditionalAddress{Address: envoy.Address(a.String(), p.port)})
	}
	inspectors(l, []inboundPort{p})
	// Nobody redirected it here.
	l.ListenerFilters = slices.DeleteFunc(l.ListenerFilters, func(f *listenerv3.ListenerFilter) bool {
		return f.GetName() == envoy.OriginalDst().GetName()
	})
	envoy.Sniff(in.Settings, l)
	return envoy.NewResource(l.Name, l)
}

// listening is where an application listens, if it isn't the address that the client
// meant: as its ingress listener says, or all of the mesh.
func (in Intake) listening(p inboundPort) string {
	switch {
	case p.ingress != nil:
		return p.ingress.Endpoint
	case p.port == 0 || !in.Settings.InboundLocalhost:
		return ""
	case ownAddress(in.Workload, false).Unmap().Is6():
		return netip.AddrPortFrom(netip.IPv6Loopback(), p.port).String()
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p.port).String()
}

// application is the cluster of a port whose application listens elsewhere than the
// client meant, and whether connections to it would be captured again.
func (in Intake) application(p inboundPort, listening string) (c *clusterv3.Cluster, captured bool) {
	c = plain(in.Settings, p.cluster)
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: p.cluster}
	var to *corev3.Address
	if path, ok := strings.CutPrefix(listening, unixScheme); ok {
		to = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
	} else if a, err := netip.ParseAddrPort(listening); err == nil {
		address := a.Addr()
		if address.IsUnspecified() {
			captured = true
			address = ownAddress(in.Workload, address.Is6())
		}
		if address.IsValid() {
			to = envoy.Address(address.String(), a.Port())
		}
	}
	if to != nil {
		c.LoadAssignment.Endpoints = []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: to}},
		}}}}
	}
	return c, captured
}

// ownAddress of a workload, of a family if it has one there.
func ownAddress(w *model.Workload, ipv6 bool) netip.Addr {
	for _, a := range w.Addresses {
		if a.Unmap().Is6() == ipv6 {
			return a
		}
	}
	if len(w.Addresses) > 0 {
		return w.Addresses[0]
	}
	return netip.Addr{}
}
