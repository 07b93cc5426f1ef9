// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	meshapi "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	clientnetworking "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

// configAnnotation is a ProxyConfig of one group, as pods have it.
const configAnnotation = "proxy.istio.io/config"

// defaultAccount is whose identity machines have of which nobody says it.
const defaultAccount = "default"

// never led through the proxy: ssh, since a machine must stay in reach, and the
// ports of the agent and of Envoy.
const excludedPorts = "22,15090,15021,15020"

// Input is what a machine's files are made of.
type Input struct {
	// Group is the WorkloadGroup that the machine is of.
	Group *clientnetworking.WorkloadGroup
	// Mesh is the configuration of the control plane that serves it.
	Mesh *meshapi.MeshConfig
	// ControlPlane is "host:port" of a control plane with a revision; empty for
	// the default one.
	ControlPlane string
	Cluster      Cluster
	// Internal is the machine's own address, External the one that others reach
	// it at, where it isn't its own; at most one of them.
	Internal, External netip.Addr
	// AutoRegister asks the control plane for a WorkloadEntry; without it somebody
	// writes one.
	AutoRegister bool
	// CaptureDNS leads the machine's DNS to the agent.
	CaptureDNS bool
}

// Cluster is what the machine's cluster is called.
type Cluster struct {
	// ID is its name in the mesh, MeshID the mesh's.
	ID, MeshID string
	// Domain is the last part of its services' names; empty for cluster.local.
	Domain string
}

// Files of a machine, and what its user should know.
type Files struct {
	// ClusterEnv is variables as a shell reads them, Mesh a MeshConfig in YAML.
	ClusterEnv, Mesh []byte
	Warnings         []string
}

// Account is the service account of a group's machines.
func Account(g *clientnetworking.WorkloadGroup) string {
	return cmp.Or(g.Spec.GetTemplate().GetServiceAccount(), defaultAccount)
}

// New makes the files. An error names the field to mend.
func New(in Input) (*Files, error) {
	out := &Files{}
	config, err := in.config(out)
	if err != nil {
		return nil, err
	}
	body, err := protojson.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the proxy configuration: %w", err)
	}
	// By way of YAML, since protojson's spaces are not the same each time.
	out.Mesh, err = yaml.JSONToYAML(slices.Concat([]byte(`{"defaultConfig":`), body, []byte(`}`)))
	if err != nil {
		return nil, fmt.Errorf("encode the proxy configuration: %w", err)
	}
	variables := maps.Clone(config.GetProxyMetadata())
	maps.Copy(variables, in.overrides())
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if strings.ContainsAny(name+variables[name], "\n\x00") || !isName(name) {
			return nil, fmt.Errorf("proxyMetadata[%s] can't be a variable of one line: change it", name)
		}
		out.ClusterEnv = append(out.ClusterEnv, name+"="+quote(variables[name])+"\n"...)
	}
	return out, nil
}

// overrides are variables of this group, whatever the mesh says.
func (in *Input) overrides() map[string]string {
	g := in.Group
	out := map[string]string{
		"ISTIO_INBOUND_PORTS": inboundPorts(g.Spec.GetTemplate().GetPorts()),
		"ISTIO_NAMESPACE":     g.Namespace, "ISTIO_SERVICE": g.Name + "." + g.Namespace,
		"ISTIO_SERVICE_CIDR": "*", "ISTIO_LOCAL_EXCLUDE_PORTS": excludedPorts,
		"SERVICE_ACCOUNT": Account(g),
	}
	if in.ControlPlane != "" {
		out["CA_ADDR"] = in.ControlPlane
	}
	switch {
	case in.Internal.IsValid():
		out["ISTIO_SVC_IP"] = in.Internal.String()
	case in.External.IsValid():
		out["ISTIO_SVC_IP"] = in.External.String()
		// The machine doesn't have that address: its probe must not ask there.
		out["REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION"] = "true"
	}
	return out
}

// inboundPorts that are led through the proxy: those of the template, or all.
func inboundPorts(ports map[string]uint32) string {
	if len(ports) == 0 {
		return "*"
	}
	var out []string
	for _, p := range slices.Compact(slices.Sorted(maps.Values(ports))) {
		out = append(out, strconv.FormatUint(uint64(p), 10))
	}
	return strings.Join(out, ",")
}

// config of the machine's proxy: the mesh's default, what the group's annotations
// say over it, and what the agent must know of the group.
func (in *Input) config(out *Files) (*meshapi.ProxyConfig, error) {
	g := in.Group
	config, err := proxyconfig.Merge(in.Mesh.GetDefaultConfig(), proxyconfig.Layers{}, nil)
	if err != nil {
		return nil, err
	}
	for _, a := range []struct {
		field string
		of    map[string]string
	}{{"metadata", g.Annotations}, {"spec.metadata", g.Spec.GetMetadata().GetAnnotations()}} {
		text, ok := a.of[configAnnotation]
		if !ok {
			continue
		}
		over, err := annotated(text)
		if err != nil {
			return nil, fmt.Errorf("%s.annotations[%s]: %w", a.field, configAnnotation, err)
		}
		for _, f := range proxyconfig.Check(over, proxyconfig.Sidecar) {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s.annotations[%s]: %s: %s", a.field, configAnnotation, f.Field, f.Message))
		}
		if config, err = proxyconfig.Merge(config, proxyconfig.Layers{}, proxyconfig.Drop(over)); err != nil {
			return nil, err
		}
	}
	if _, err := readiness.Parse(g.Spec.GetProbe(), nil); err != nil {
		return nil, fmt.Errorf("spec.probe: %w", err)
	}
	config.ReadinessProbe = g.Spec.GetProbe()
	if in.ControlPlane != "" && config.GetDiscoveryAddress() == "" {
		config.DiscoveryAddress = in.ControlPlane
	}
	if config.ProxyMetadata == nil {
		config.ProxyMetadata = map[string]string{}
	}
	return config, in.metadata(config, out)
}

// metadata that tells the agent, and by it the control plane, what the machine is.
func (in *Input) metadata(config *meshapi.ProxyConfig, out *Files) error {
	g, template := in.Group, in.Group.Spec.GetTemplate()
	labels := maps.Clone(g.Spec.GetMetadata().GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	if len(template.GetLabels()) > 0 {
		out.Warnings = append(out.Warnings, "spec.template.labels: they go over those of spec.metadata.labels, which is the place for labels")
		maps.Copy(labels, template.GetLabels())
	}
	service := cmp.Or(labels["service.istio.io/canonical-name"], labels["app.kubernetes.io/name"], labels["app"], g.Name)
	revision := cmp.Or(labels["service.istio.io/canonical-revision"], labels["app.kubernetes.io/version"], labels["version"], "latest")
	labels["service.istio.io/canonical-name"], labels["service.istio.io/canonical-revision"] = service, revision
	encoded, err := json.Marshal(labels)
	if err != nil {
		return fmt.Errorf("encode the labels: %w", err)
	}
	m := config.ProxyMetadata
	for name, value := range map[string]string{
		"CANONICAL_SERVICE": service, "CANONICAL_REVISION": revision,
		"POD_NAMESPACE": g.Namespace, "SERVICE_ACCOUNT": Account(g), "TRUST_DOMAIN": cmp.Or(in.Mesh.GetTrustDomain(), "cluster.local"),
		"ISTIO_META_CLUSTER_ID": in.Cluster.ID, "ISTIO_META_MESH_ID": cmp.Or(config.GetMeshId(), in.Cluster.MeshID, in.Mesh.GetTrustDomain()),
		"ISTIO_META_NETWORK": template.GetNetwork(), "ISTIO_META_WORKLOAD_NAME": g.Name,
		"ISTIO_METAJSON_LABELS": string(encoded),
	} {
		m[name] = value
	}
	if ports := podPorts(template); ports != "" {
		m["ISTIO_META_POD_PORTS"] = ports
	}
	if in.Cluster.Domain != "" {
		m["ISTIO_META_DNS_DOMAIN"] = g.Namespace + ".svc." + in.Cluster.Domain
	}
	if in.CaptureDNS {
		m["ISTIO_META_DNS_CAPTURE"] = "true"
	}
	if in.AutoRegister {
		m["ISTIO_META_AUTO_REGISTER_GROUP"] = g.Name
	}
	return nil
}

func podPorts(template *networking.WorkloadEntry) string {
	type port struct {
		Name string `json:"name"`
		Port uint32 `json:"containerPort"`
	}
	var ports []port
	for _, name := range slices.Sorted(maps.Keys(template.GetPorts())) {
		ports = append(ports, port{name, template.GetPorts()[name]})
	}
	if len(ports) == 0 {
		return ""
	}
	body, _ := json.Marshal(ports)
	return string(body)
}

// annotated reads a ProxyConfig in YAML.
func annotated(text string) (*meshapi.ProxyConfig, error) {
	body, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	out := &meshapi.ProxyConfig{}
	if err := out.UnmarshalJSON(body); err != nil {
		return nil, fmt.Errorf("not a ProxyConfig: %w", err)
	}
	return out, nil
}
