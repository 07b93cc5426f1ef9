// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// node is what a proxy says of itself: Istio's node id, "type~ip~pod.namespace~domain",
// and Istio's metadata.
type node struct {
	id              string
	kind            model.ProxyType
	name, namespace string
	addresses       []netip.Addr
	locality        model.Locality
	metadata        metadata
}

// metadata in Istio's names.
type metadata struct {
	namespace, serviceAccount string
	cluster                   model.ClusterID
	network                   model.NetworkID
	version                   string
	labels                    map[string]string
	dnsCapture                bool
	// group is the WorkloadGroup that a machine registers with, and probed whether it
	// checks its workload's health.
	group  string
	probed bool
	// texts are all entries that are text.
	texts map[string]string
}

// decodeNode reads an encoded core.v3.Node, in which metadata may have at most
// maxMetadata bytes. Fields that aren't needed are not decoded.
func decodeNode(b []byte, maxMetadata int) (*node, error) {
	n := &node{}
	var addresses string
	err := scan(b, func(num protowire.Number, from, to int) error {
		content := b[from:to]
		switch num {
		case 1:
			return text(&n.id, string(content))
		case 3:
			if len(content) > maxMetadata {
				return fmt.Errorf("metadata has %d bytes, at most %d are read", len(content), maxMetadata)
			}
			var s structpb.Struct
			if err := proto.Unmarshal(content, &s); err != nil {
				return fmt.Errorf("metadata: %w", err)
			}
			n.metadata, addresses = readMetadata(&s)
		case 4:
			var l corev3.Locality
			if err := proto.Unmarshal(content, &l); err != nil {
				return fmt.Errorf("locality: %w", err)
			}
			n.locality = model.Locality{Region: l.GetRegion(), Zone: l.GetZone(), SubZone: l.GetSubZone()}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	if err := n.parseID(); err != nil {
		return nil, err
	}
	for _, a := range strings.Split(addresses, ",") {
		n.addAddress(a)
	}
	return n, nil
}

func (n *node) parseID() error {
	parts := strings.Split(n.id, "~")
	if len(parts) != 4 {
		return fmt.Errorf("node id %q is not of the form type~ip~pod.namespace~domain", clip(n.id))
	}
	n.kind = model.ProxyType(parts[0])
	if n.kind != model.Sidecar && n.kind != model.Router {
		return fmt.Errorf("node id %q: proxy type %q is not served, only %q and %q", clip(n.id), clip(parts[0]), model.Sidecar, model.Router)
	}
	n.addAddress(parts[1])
	// A pod's name may have dots, a namespace may not.
	dot := strings.LastIndexByte(parts[2], '.')
	if dot <= 0 || dot == len(parts[2])-1 {
		return fmt.Errorf("node id %q: %q is not of the form pod.namespace", clip(n.id), clip(parts[2]))
	}
	n.name, n.namespace = parts[2][:dot], parts[2][dot+1:]
	return nil
}

// addAddress unless it is there already or is no address.
func (n *node) addAddress(s string) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return
	}
	for _, known := range n.addresses {
		if known == a {
			return
		}
	}
	n.addresses = append(n.addresses, a)
}

func readMetadata(s *structpb.Struct) (m metadata, addresses string) {
	value := func(key string) string { return s.GetFields()[key].GetStringValue() }
	m = metadata{
		namespace:      value("NAMESPACE"),
		serviceAccount: value("SERVICE_ACCOUNT"),
		cluster:        model.ClusterID(value("CLUSTER_ID")),
		network:        model.NetworkID(value("NETWORK")),
		version:        value("ISTIO_VERSION"),
		group:          value("AUTO_REGISTER_GROUP"),
		probed:         s.GetFields()["PROXY_CONFIG"].GetStructValue().GetFields()["readinessProbe"].GetStructValue() != nil,
		dnsCapture:     value("DNS_CAPTURE") == "true" || s.GetFields()["DNS_CAPTURE"].GetBoolValue(),
	}
	if labels := s.GetFields()["LABELS"].GetStructValue().GetFields(); len(labels) > 0 {
		m.labels = make(map[string]string, len(labels))
		for k, v := range labels {
			m.labels[k] = v.GetStringValue()
		}
	}
	for k, v := range s.GetFields() {
		if text, ok := v.GetKind().(*structpb.Value_StringValue); ok {
			if m.texts == nil {
				m.texts = map[string]string{}
			}
			m.texts[k] = text.StringValue
		}
	}
	return m, value("INSTANCE_IPS")
}

// clip keeps what a client sent from filling messages.
func clip(s string) string {
	if len(s) > 128 {
		return s[:128] + "…"
	}
	return s
}
