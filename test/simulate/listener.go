// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// get unmarshals a resource.
func get[T proto.Message](v *envoy.View, typeURL, name string) (T, error) {
	var none T
	r := v.Get(typeURL, name)
	if r == nil {
		return none, fmt.Errorf("there is no %s %q", typeURL[strings.LastIndex(typeURL, ".")+1:], name)
	}
	m, err := r.Message()
	if err != nil {
		return none, err
	}
	t, ok := m.(T)
	if !ok {
		return none, fmt.Errorf("%q is a %T", name, m)
	}
	return t, nil
}

func (w *walk) outbound() error {
	first, err := get[*listenerv3.Listener](w.view, envoy.ListenerType, envoy.VirtualOutbound)
	if err != nil {
		return err
	}
	if !first.GetUseOriginalDst().GetValue() {
		return fmt.Errorf("%s hands nothing on", first.GetName())
	}
	l, err := w.handedTo(first)
	if err != nil {
		return err
	}
	return w.through(l)
}

// handedTo is the listener of the address that a connection was meant for: of
// the very address, else of all addresses with the port, else the first one.
func (w *walk) handedTo(first *listenerv3.Listener) (*listenerv3.Listener, error) {
	var exact, wildcard *listenerv3.Listener
	layers := w.view.Types[envoy.ListenerType]
	for _, r := range slices.Concat(layers.Shared.Resources(), layers.Own.Resources()) {
		l, err := get[*listenerv3.Listener](w.view, envoy.ListenerType, r.Name)
		if err != nil {
			return nil, err
		}
		if l.GetInternalListener() != nil || l.GetBindToPort() == nil || l.GetBindToPort().GetValue() {
			continue
		}
		addresses := []string{l.GetAddress().GetSocketAddress().GetAddress()}
		for _, a := range l.GetAdditionalAddresses() {
			addresses = append(addresses, a.GetAddress().GetSocketAddress().GetAddress())
		}
		if l.GetAddress().GetSocketAddress().GetPortValue() != uint32(w.call.To.Port()) {
			continue
		}
		for _, a := range addresses {
			address, err := netip.ParseAddr(a)
			switch {
			case err != nil:
				return nil, fmt.Errorf("listener %s: %w", l.GetName(), err)
			case address == w.call.To.Addr():
				exact = l
			case address.IsUnspecified() && address.Is4() == w.call.To.Addr().Is4():
				wildcard = l
			}
		}
	}
	switch {
	case exact != nil:
		return exact, nil
	case wildcard != nil:
		return wildcard, nil
	}
	return first, nil
}

func (w *walk) inbound() error {
	l, err := get[*listenerv3.Listener](w.view, envoy.ListenerType, envoy.VirtualInbound)
	if err != nil {
		return err
	}
	return w.through(l)
}

func (w *walk) gateway() error {
	l, err := get[*listenerv3.Listener](w.view, envoy.ListenerType, envoy.PortListener(envoy.EastWestPort))
	if err != nil {
		return err
	}
	return w.through(l)
}

// through a listener: its inspectors, the chain that takes the connection, and
// the chain's last filter.
func (w *walk) through(l *listenerv3.Listener) error {
	w.result.Listener = l.GetName()
	seen := w.inspect(l)
	chain := choose(l.GetFilterChains(), seen)
	if chain == nil {
		chain = l.GetDefaultFilterChain()
	}
	if chain == nil {
		return fmt.Errorf("no filter chain takes %s", seen)
	}
	w.result.Chain = describe(chain, l)
	w.remote = w.client(l)
	if err := w.handshake(chain, seen); err != nil {
		return err
	}
	filters := chain.GetFilters()
	if err := w.judgeConnection(filters); err != nil {
		return err
	}
	m, err := filters[len(filters)-1].GetTypedConfig().UnmarshalNew()
	if err != nil {
		return err
	}
	switch filter := m.(type) {
	case *hcmv3.HttpConnectionManager:
		w.remote = w.forwarded(filter)
		if err := w.judgeRequest(filter.GetHttpFilters()); err != nil {
			return err
		}
		return w.request(filter)
	case *tcpproxyv3.TcpProxy:
		w.match = subset(filter.GetMetadataMatch())
		w.result.stream(filter)
		if to := w.result.Clusters; len(to) > 0 {
			return w.to(to[w.call.Pick%len(to)].Cluster)
		}
		return w.to(filter.GetCluster())
	}
	return fmt.Errorf("the last filter is %T", m)
}

// handshake ends TLS where the chain does.
func (w *walk) handshake(chain *listenerv3.FilterChain, seen connection) error {
	socket := chain.GetTransportSocket()
	if socket == nil {
		w.result.Passed = w.call.Payload == TLS
		return nil
	}
	if seen.transport != "tls" {
		return fmt.Errorf("the chain wants TLS and gets %s", w.call.Payload)
	}
	var context tlsv3.DownstreamTlsContext
	if err := socket.GetTypedConfig().UnmarshalTo(&context); err != nil {
		return err
	}
	for _, s := range context.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs() {
		w.result.Shown = append(w.result.Shown, s.GetName())
	}
	w.result.Demanded = context.GetRequireClientCertificate().GetValue()
	validation := context.GetCommonTlsContext().GetCombinedValidationContext()
	trusts := validation.GetDefaultValidationContext().GetTrustChainVerification() != tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
	switch shown := w.call.Peer != "" || w.call.Anonymous; {
	case validation == nil:
		// None is asked for.
		return nil
	case !shown && context.GetRequireClientCertificate().GetValue():
		return errors.New("the client has no certificate")
	case !shown:
		return nil
	case w.call.Untrusted && trusts:
		return errors.New("nobody whom the port trusts has signed the client's certificate")
	case w.call.Untrusted:
		return nil
	}
	wanted := names(context.GetCommonTlsContext())
	if len(wanted) == 0 {
		// Any that the CA has signed.
		w.result.Verified = true
		return nil
	}
	for _, m := range wanted {
		if p := m.GetPrefix(); p != "" && strings.HasPrefix(w.call.Peer, p) || m.GetExact() == w.call.Peer {
			w.result.Verified = true
			return nil
		}
	}
	return fmt.Errorf("identity %s is not accepted", w.call.Peer)
}
