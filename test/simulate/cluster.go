// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// to a cluster and its endpoints.
func (w *walk) to(name string) error {
	w.result.Cluster = name
	c, err := get[*clusterv3.Cluster](w.view, envoy.ClusterType, name)
	if err != nil {
		return err
	}
	load := c.GetLoadAssignment()
	switch c.GetType() {
	case clusterv3.Cluster_ORIGINAL_DST:
		w.result.OriginalDst = true
		return nil
	case clusterv3.Cluster_EDS:
		load, err = get[*endpointv3.ClusterLoadAssignment](w.view, envoy.EndpointType, c.GetEdsClusterConfig().GetServiceName())
		if err != nil {
			return err
		}
	}
	for _, e := range w.eligible(load) {
		out, err := w.endpoint(c, e)
		if err != nil {
			return err
		}
		w.result.Endpoints = append(w.result.Endpoints, out)
	}
	if len(w.result.Endpoints) == 0 {
		return errors.New("503: no endpoint")
	}
	return nil
}

// eligible endpoints: of the first priority that has healthy ones; of all, when
// none has.
func (w *walk) eligible(load *endpointv3.ClusterLoadAssignment) []*endpointv3.LbEndpoint {
	healthy := map[uint32][]*endpointv3.LbEndpoint{}
	var all []*endpointv3.LbEndpoint
	for _, group := range load.GetEndpoints() {
		for _, e := range group.GetLbEndpoints() {
			if !w.asked(e) {
				continue
			}
			all = append(all, e)
			if e.GetHealthStatus() == corev3.HealthStatus_UNKNOWN || e.GetHealthStatus() == corev3.HealthStatus_HEALTHY {
				healthy[group.GetPriority()] = append(healthy[group.GetPriority()], e)
			}
		}
	}
	for priority := uint32(0); len(healthy) > 0; priority++ {
		if e := healthy[priority]; len(e) > 0 {
			return e
		}
	}
	return all
}

// asked is true for endpoints of the subset that is asked for.
func (w *walk) asked(e *endpointv3.LbEndpoint) bool {
	fields := e.GetMetadata().GetFilterMetadata()["envoy.lb"].GetFields()
	for k, v := range w.match {
		if fields[k].GetStringValue() != v {
			return false
		}
	}
	return true
}

func (w *walk) endpoint(c *clusterv3.Cluster, e *endpointv3.LbEndpoint) (Endpoint, error) {
	out := Endpoint{Weight: e.GetLoadBalancingWeight().GetValue()}
	var err error
	if out.Address, err = w.address(e); err != nil {
		return out, err
	}
	socket := c.GetTransportSocket()
	for _, m := range c.GetTransportSocketMatches() {
		if contains(e.GetMetadata().GetFilterMetadata()["envoy.transport_socket_match"], m.GetMatch()) {
			socket = m.GetTransportSocket()
			break
		}
	}
	if socket.GetName() != envoy.TLSSocket {
		return out, nil
	}
	var context tlsv3.UpstreamTlsContext
	if err := socket.GetTypedConfig().UnmarshalTo(&context); err != nil {
		return out, fmt.Errorf("transport socket of %s: %w", c.GetName(), err)
	}
	out.TLS, out.SNI, out.Secrets = true, context.GetSni(), secrets(context.GetCommonTlsContext())
	out.ALPN = context.GetCommonTlsContext().GetAlpnProtocols()
	if w.alpn != nil {
		out.ALPN = w.alpn
	}
	for _, m := range names(context.GetCommonTlsContext()) {
		out.Identities = append(out.Identities, m.GetExact())
	}
	return out, nil
}

// secrets that a TLS context takes: certificates, then what the other end's is
// checked with.
func secrets(c *tlsv3.CommonTlsContext) []string {
	var out []string
	for _, s := range c.GetTlsCertificateSdsSecretConfigs() {
		out = append(out, s.GetName())
	}
	for _, s := range []*tlsv3.SdsSecretConfig{c.GetCombinedValidationContext().GetValidationContextSdsSecretConfig(), c.GetValidationContextSdsSecretConfig()} {
		if s != nil {
			out = append(out, s.GetName())
		}
	}
	return out
}

// address of an endpoint; of one that is an internal listener, the name that
// the listener leads to.
func (w *walk) address(e *endpointv3.LbEndpoint) (string, error) {
	address := e.GetEndpoint().GetAddress()
	if name := address.GetEnvoyInternalAddress().GetServerListenerName(); name != "" {
		l, err := get[*listenerv3.Listener](w.view, envoy.ListenerType, name)
		if err != nil {
			return "", err
		}
		var proxy tcpproxyv3.TcpProxy
		if err := l.GetFilterChains()[0].GetFilters()[0].GetTypedConfig().UnmarshalTo(&proxy); err != nil {
			return "", err
		}
		c, err := get[*clusterv3.Cluster](w.view, envoy.ClusterType, proxy.GetCluster())
		if err != nil {
			return "", err
		}
		address = c.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().GetAddress()
	}
	socket := address.GetSocketAddress()
	return net.JoinHostPort(socket.GetAddress(), strconv.Itoa(int(socket.GetPortValue()))), nil
}

func contains(have, want *structpb.Struct) bool {
	for k, v := range want.GetFields() {
		if have.GetFields()[k].GetStringValue() != v.GetStringValue() {
			return false
		}
	}
	return true
}

// names that the certificate of the other end must have one of.
func names(c *tlsv3.CommonTlsContext) []*matcherv3.StringMatcher {
	var out []*matcherv3.StringMatcher
	for _, v := range []*tlsv3.CertificateValidationContext{c.GetCombinedValidationContext().GetDefaultValidationContext(), c.GetValidationContext()} {
		for _, m := range v.GetMatchTypedSubjectAltNames() {
			out = append(out, m.GetMatcher())
		}
		out = append(out, v.GetMatchSubjectAltNames()...) //nolint:staticcheck // others say it so
	}
	return out
}
