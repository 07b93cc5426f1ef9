// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"encoding/json"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// ID is the node id as Istio writes it: type~address~pod.namespace~domain.
func (n Node) ID() string {
	address := ""
	if len(n.Addresses) > 0 {
		address = n.Addresses[0].String()
	}
	return fmt.Sprintf("%s~%s~%s.%s~%s.svc.%s", n.Type, address, n.Name, n.Namespace, n.Namespace, n.DomainSuffix)
}

// Envoy is the node as xDS carries it. It fails when the proxy configuration
// is not a JSON object.
func (n Node) Envoy() (*corev3.Node, error) {
	fields := map[string]any{}
	for k, v := range n.Metadata {
		fields[k] = v
	}
	// What the agent knows stands above what variables claim.
	for k, v := range map[string]string{
		"NAME": n.Name, "NAMESPACE": n.Namespace, "SERVICE_ACCOUNT": n.ServiceAccount, "NODE_NAME": n.NodeName,
		"CLUSTER_ID": n.ClusterID, "NETWORK": n.Network, "MESH_ID": n.MeshID,
		"WORKLOAD_NAME": n.WorkloadName, "OWNER": n.Owner,
		"ISTIO_VERSION": n.Version, "INSTANCE_IPS": joinAddresses(n),
	} {
		if v != "" {
			fields[k] = v
		}
	}
	delete(fields, "DNS_CAPTURE")
	if n.DNSCapture {
		fields["DNS_CAPTURE"] = "true"
	}
	labels := map[string]any{}
	for k, v := range n.Labels {
		labels[k] = v
	}
	fields["LABELS"] = labels
	if len(n.ProxyConfig) > 0 {
		var config map[string]any
		if err := json.Unmarshal(n.ProxyConfig, &config); err != nil {
			return nil, fmt.Errorf("read the proxy configuration: %w", err)
		}
		fields["PROXY_CONFIG"] = config
	}
	metadata, err := structpb.NewStruct(fields)
	if err != nil {
		return nil, fmt.Errorf("encode node metadata: %w", err)
	}
	node := &corev3.Node{Id: n.ID(), Cluster: n.Service, Metadata: metadata}
	if n.Region != "" {
		node.Locality = &corev3.Locality{Region: n.Region, Zone: n.Zone, SubZone: n.SubZone}
	}
	return node, nil
}

func joinAddresses(n Node) string {
	var out []string
	for _, a := range n.Addresses {
		out = append(out, a.String())
	}
	return strings.Join(out, ",")
}
